/* What all kernels share: CUDA's words for the emulation, arrays that know their length, shared memory, status words.
 *
 * The kernels are plain C++17 for two compilers: NVRTC (the card), and the ordinary one, which builds the emulation
 * (cython_ext/gpu/emulation.h). Rules, so that both do the same:
 *  - no contraction of multiplications and additions (-fmad=false): the bits are those of the CPU's kernels;
 *  - blocks have a multiple of 32 threads, and all 32 lanes of a warp meet at every vote and shuffle (FULL_WARP);
 *  - all shared memory is dynamic and taken from SharedMemory; nothing reads what was not written before;
 *  - arguments are Span, int, long long, float and double;
 *  - no order between blocks; what several blocks add to is whole numbers, so that the order changes no bit.
 * Each file ends with a line KERNEL(name<types>) for every instance that Python may launch.
 */
#ifndef EVENTSNN_CUDA_H
#define EVENTSNN_CUDA_H

#ifdef EVENTSNN_EMULATION
#include "emulation.h"
#else
#define DEVICE static __device__ __forceinline__
#define DEVICE_CALL static __device__ __noinline__
#define MEMBER __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define NO_UNROLL _Pragma("unroll 1")
#ifndef KERNEL
#define KERNEL(...)
#endif
#ifndef NAN
#define NAN (__longlong_as_double(0x7ff8000000000000ll)) /* NVRTC has no headers */
#endif
#define CHECK_INDEX(index, size)
/* Where a pointer comes from is forgotten, so that it is added to in one instruction and not composed anew from its parts. */
#define FORGET(pointer) asm("" : "+l"(pointer))
#endif

#include "lif.h"

typedef long long int64;

#define WARP 32
#define FULL_WARP 0xffffffffu

DEVICE int lane_number() { return (int)(threadIdx.x % WARP); }
DEVICE int warp_number() { return (int)(threadIdx.x / WARP); }

/* An array on the device and its length; the emulation checks every index. */
template <class T>
struct Span {
    T* data;
    int64 size;
    MEMBER T& operator[](int64 n) const {
        CHECK_INDEX(n, size);
        return data[n];
    }
    /* `count` elements from `first` on. */
    MEMBER Span<T> part(int64 first, int64 count) const {
        CHECK_INDEX(first, size + 1);
        CHECK_INDEX(first + count, size + 1);
        return {data + first, count};
    }
};

/* Hands out the dynamic shared memory of a block, aligned to 16 bytes; eventsnn.gpu.device.shared_bytes counts the same. */
#ifndef EVENTSNN_EMULATION
extern __shared__ __align__(16) char shared_memory[];
#define shared_memory_size (1 << 30)
#endif
struct SharedMemory {
    int used;
    MEMBER SharedMemory() : used(0) {}
    template <class T>
    MEMBER Span<T> take(int count) {
        T* start = (T*)(shared_memory + used);
        used += (int)((count * sizeof(T) + 15) / 16 * 16);
        CHECK_INDEX(used, shared_memory_size + 1);
        return {start, count};
    }
};

/* Copies of 4, 8 or 16 bytes from an array on the device to shared memory, which go on while the thread does something else and
 * take no registers. `commit_copies` ends a group of them; `wait_for_copies<N>` waits until all but the last N groups of the
 * thread are there, for this thread alone. No two may be under way to one place. Cards before Ampere copy at once; the
 * emulation copies as late as it may. */
#ifdef EVENTSNN_EMULATION
#define begin_copy(to, from) emulation::begin_copy(to, from, sizeof *(to), __FILE__, __LINE__)
#define commit_copies() (++emulation::current()->group)
template <int N>
DEVICE void wait_for_copies() {
    emulation::finish_copies(N);
}
#else
template <class V>
DEVICE void begin_copy(V* to, const void* from) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)), "l"(from),
                 "n"(sizeof(V))
                 : "memory");
#else
    *to = *(const V*)from;
#endif
}
DEVICE void commit_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int N>
DEVICE void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}
#endif

/* The status of a launch, words of 64 bits that the host reads when it needs the results: the most that was wanted of each
 * capacity, and the first fault. Larger is worse, so that the order of blocks changes nothing. */
enum { STATUS_SPIKES = 0, STATUS_TRAIN = 1, STATUS_ENDLESS = 2, STATUS_OVERFLOW = 3, STATUS_WORDS = 8 };

DEVICE void report(const Span<int64>& status, int word, int64 value) { atomicMax(&status[word], value); }

/* *most becomes at least `x`. Many threads meet at one address, and most find there what is larger already. */
DEVICE void raise_to(int64* most, int64 x) {
    if (x > *(volatile int64*)most) atomicMax(most, x);
}

#endif
