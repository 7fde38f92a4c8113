/* Arguments of the emulation's launches, as a card's driver takes them, and the lines KERNEL(...); a part of emulation.h. */
#ifndef EVENTSNN_EMULATION_ARGUMENTS_H
#define EVENTSNN_EMULATION_ARGUMENTS_H

namespace emulation {

/* How an argument is called where Python and C++ compare theirs: kind and bytes as NumPy writes them, * for an array. */
template <class T>
struct Code {
    static std::string name() { return "V" + std::to_string(sizeof(T)); }
};
#define EMULATION_CODE(type, code)                  \
    template <>                                     \
    struct Code<type> {                             \
        static std::string name() { return code; }  \
    };
EMULATION_CODE(float, "f4")
EMULATION_CODE(double, "f8")
EMULATION_CODE(signed char, "i1")
EMULATION_CODE(unsigned char, "u1")
EMULATION_CODE(short, "i2")
EMULATION_CODE(unsigned short, "u2")
EMULATION_CODE(int, "i4")
EMULATION_CODE(unsigned, "u4")
EMULATION_CODE(long, "i8")
EMULATION_CODE(unsigned long, "u8")
EMULATION_CODE(long long, "i8")
EMULATION_CODE(unsigned long long, "u8")

/* Arguments one after another, each aligned to its own size, as the driver takes them. */
struct Packed {
    const char* start;
    size_t at;
    template <class T>
    T next() {
        at = (at + alignof(T) - 1) / alignof(T) * alignof(T);
        T value;
        memcpy(&value, start + at, sizeof value);
        at += sizeof value;
        return value;
    }
};

template <class... A>
struct Invoker {
    static void invoke(void (*pointer)(), const char* arguments) {
        Packed p = {arguments, 0};
        void (*kernel)(A...) = (void (*)(A...))pointer;
        call(kernel, p);
    }
    /* Braces: arguments of a constructor are evaluated from left to right. */
    struct Call {
        Call(void (*kernel)(A...), A... a) { kernel(a...); }
    };
    static void call(void (*kernel)(A...), Packed& p) { Call{kernel, p.next<A>()...}; }
};

template <class... A>
size_t packed_bytes() {
    size_t at = 0;
    (void)std::initializer_list<int>{(at = (at + alignof(A) - 1) / alignof(A) * alignof(A) + sizeof(A), 0)...};
    return at;
}

struct Registration {
    template <class... A>
    Registration(const char* name, void (*kernel)(A...)) {
        std::string codes;
        (void)std::initializer_list<int>{(codes += (codes.empty() ? "" : ", ") + Code<A>::name(), 0)...};
        kernels().push_back({name, codes, packed_bytes<A...>(), (void (*)())kernel, Invoker<A...>::invoke});
    }
};

} /* namespace emulation */

template <class T>
struct Span;
namespace emulation {
template <class T>
struct Code<Span<T>> {
    static std::string name() { return "*" + Code<T>::name(); }
};
template <class T>
struct Code<Span<const T>> {
    static std::string name() { return "*" + Code<T>::name(); }
};
} /* namespace emulation */

#define EMULATION_JOIN_(a, b) a##b
#define EMULATION_JOIN(a, b) EMULATION_JOIN_(a, b)
#define KERNEL(...) static emulation::Registration EMULATION_JOIN(kernel_, __COUNTER__)(#__VA_ARGS__, __VA_ARGS__);

#endif
