/* CUDA's words for the ordinary compiler: the kernels of eventsnn/gpu/kernels/ run on the CPU, one block after another.
 *
 * The threads of a block are fibers. Each runs until it ends or waits at a barrier, vote or shuffle; once all do, the warps
 * whose 32 lanes wait at one vote go on, then the block whose threads all wait at one barrier. What a card would punish with
 * wrong results or a hang is an error here: lanes of a warp that wait at different places, a barrier that not all threads
 * reach, an index outside an array, too much shared memory. Shared memory begins as NaN in every block.
 */
#ifndef EVENTSNN_EMULATION_H
#define EVENTSNN_EMULATION_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#ifndef __x86_64__
#include <ucontext.h>
#endif

#include <stdexcept>
#include <string>
#include <vector>

namespace emulation {

enum { LANES = 32, MOST_THREADS = 1024, MOST_BLOCKS_X = 0x7fffffff, MOST_BLOCKS_Y = 65535, STACK = 128 * 1024 };

struct Point {
    unsigned x, y, z;
};

/* A fiber: a place in a function, and the stack that goes with it. */
#ifdef __x86_64__
/* swapcontext asks the system for the mask of signals each time, which takes most of a test's time. Here only what a call
 * must preserve is kept, on the stack. */
struct Fiber {
    void* top;
};
__attribute__((naked, noinline)) static void switch_stacks(void**, void*) {
    __asm__(
        "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
        "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret");
}
inline void switch_fibers(Fiber& from, Fiber& to) { switch_stacks(&from.top, to.top); }
inline void make_fiber(Fiber& fiber, char* stack, size_t size, void (*function)()) {
    void** top = (void**)((uintptr_t)(stack + size) & ~(uintptr_t)15);
    *--top = nullptr; /* `function` never returns */
    *--top = (void*)function;
    for (int n = 0; n < 6; ++n) *--top = nullptr;
    fiber.top = top;
}
#else
struct Fiber {
    ucontext_t context;
};
inline void switch_fibers(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }
inline void make_fiber(Fiber& fiber, char* stack, size_t size, void (*function)()) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = size;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, function, 0);
}
#endif

enum State { READY, AT_BARRIER, AT_WARP, DONE };
enum Operation { SYNC, BALLOT, SHUFFLE, SHUFFLE_XOR, SHUFFLE_UP, SHUFFLE_DOWN, MATCH };

/* A copy to shared memory that may not have arrived yet. */
struct Copy {
    char* to;
    const char* from;
    size_t size;
    int group;
};

struct Thread {
    Fiber fiber;
    Point index;
    State state;
    const char* file; /* where it waits */
    int line;
    Operation operation;
    int argument;
    uint64_t value, result;
    std::vector<Copy> copies; /* under way */
    int group;
};

struct Kernel {
    const char* name;
    std::string codes; /* of the arguments, one after another: see `Code` */
    size_t bytes;      /* of the packed arguments */
    void (*pointer)();
    void (*invoke)(void (*)(), const char*);
};

inline std::vector<Kernel>& kernels() {
    static std::vector<Kernel> all;
    return all;
}

/* The launch in progress; one at a time, as the interpreter's lock is held. */
struct Launch {
    const Kernel* kernel;
    const char* arguments;
    std::vector<Thread> threads;
    std::vector<char> stacks, shared;
    Fiber scheduler;
    Point grid, block, index;
    std::string fault;
};

inline Launch& launch() {
    static Launch one;
    return one;
}

inline Thread*& current() {
    static Thread* thread;
    return thread;
}

inline void leave() { switch_fibers(current()->fiber, launch().scheduler); }

inline std::string place(const Thread& t) {
    const Launch& l = launch();
    const char* slash = strrchr(t.file, '/');
    char text[300];
    snprintf(text, sizeof text, "thread %u of block (%u, %u) at %s:%d", t.index.x, l.index.x, l.index.y,
             slash ? slash + 1 : t.file, t.line);
    return text;
}

/* A fault of the running thread, which ends here with the whole launch. */
inline void fail(const std::string& what) {
    if (launch().fault.empty()) launch().fault = what;
    current()->state = DONE;
    leave();
}

inline void check_index(long long index, long long size, const char* file, int line) {
    if (index >= 0 && index < size) return;
    Thread& t = *current();
    t.file = file;
    t.line = line;
    fail("index " + std::to_string(index) + " of an array of " + std::to_string(size) + ", " + place(t));
}

/* The destination means nothing until the copy is waited for. A card copies between addresses that are aligned to the size. */
inline void begin_copy(void* to, const void* from, size_t size, const char* file, int line) {
    Thread& t = *current();
    t.file = file;
    t.line = line;
    if ((uintptr_t)to % size || (uintptr_t)from % size)
        fail("a copy of " + std::to_string(size) + " bytes that are not aligned, " + place(t));
    for (const Copy& other : t.copies)
        if (other.to < (char*)to + size && (char*)to < other.to + other.size)
            fail("a copy to where another is under way, " + place(t));
    memset(to, 0xff, size);
    t.copies.push_back({(char*)to, (const char*)from, size, t.group});
}

/* All but the last `left` groups arrive. */
inline void finish_copies(int left) {
    Thread& t = *current();
    size_t kept = 0;
    for (const Copy& copy : t.copies)
        if (copy.group < t.group - left)
            memcpy(copy.to, copy.from, copy.size);
        else
            t.copies[kept++] = copy;
    t.copies.resize(kept);
}

inline void wait(State state, const char* file, int line) {
    Thread& t = *current();
    t.state = state;
    t.file = file;
    t.line = line;
    leave();
}

inline uint64_t meet(Operation operation, unsigned mask, uint64_t value, int argument, const char* file, int line) {
    Thread& t = *current();
    t.operation = operation;
    t.value = value;
    t.argument = argument;
    if (mask != 0xffffffffu) {
        t.file = file;
        t.line = line;
        fail("a vote or shuffle without all 32 lanes, " + place(t));
    }
    wait(AT_WARP, file, line);
    return t.result;
}

template <class T>
inline T shuffle(Operation operation, unsigned mask, T value, int argument, const char* file, int line) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "shuffles take up to 8 bytes");
    uint64_t word = 0;
    memcpy(&word, &value, sizeof value);
    word = meet(operation, mask, word, argument, file, line);
    memcpy(&value, &word, sizeof value);
    return value;
}

/* The results of a warp whose lanes all wait at one place; false if they do not. */
inline bool resolve_warp(Thread* lanes) {
    for (int n = 1; n < LANES; ++n)
        if (lanes[n].state != AT_WARP || lanes[n].line != lanes[0].line || lanes[n].operation != lanes[0].operation ||
            strcmp(lanes[n].file, lanes[0].file) != 0)
            return false;
    uint64_t ballot = 0;
    for (int n = 0; n < LANES; ++n) ballot |= (uint64_t)(lanes[n].value != 0) << n;
    for (int n = 0; n < LANES; ++n) {
        Thread& t = lanes[n];
        int from = n;
        switch (t.operation) {
            case SYNC:
            case BALLOT: t.result = ballot; break;
            case SHUFFLE: from = t.argument & (LANES - 1); break;
            case SHUFFLE_XOR: from = n ^ t.argument; break;
            case SHUFFLE_UP: from = n - t.argument; break;
            case SHUFFLE_DOWN: from = n + t.argument; break;
            case MATCH:
                t.result = 0;
                for (int m = 0; m < LANES; ++m) t.result |= (uint64_t)(lanes[m].value == t.value) << m;
                break;
        }
        if (t.operation != BALLOT && t.operation != SYNC && t.operation != MATCH)
            t.result = lanes[from < 0 || from >= LANES ? n : from].value;
        t.state = READY;
    }
    return true;
}

inline void enter() {
    Launch& l = launch();
    l.kernel->invoke(l.kernel->pointer, l.arguments);
    current()->state = DONE;
    leave();
}

/* Threads that wait let others go on, or it is a fault; false if nothing is left to do. */
inline bool go_on() {
    Launch& l = launch();
    const int n = (int)l.threads.size();
    int done = 0, at_barrier = 0;
    bool resolved = false;
    Thread* first = nullptr;
    for (int w = 0; w < n; w += LANES) {
        Thread* lanes = &l.threads[w];
        for (int k = 0; k < LANES; ++k)
            if (lanes[k].state == AT_WARP) {
                if (!resolve_warp(lanes)) {
                    int other = 0;
                    while (lanes[other].state == AT_WARP && lanes[other].line == lanes[k].line) other = (other + 1) % LANES;
                    l.fault = "lanes of a warp do not meet at one vote or shuffle: " + place(lanes[k]) + ", while " +
                              (lanes[other].state == DONE ? "thread " + std::to_string(lanes[other].index.x) + " has ended"
                                                          : place(lanes[other]));
                    return false;
                }
                resolved = true;
                break;
            }
    }
    for (Thread& t : l.threads) {
        done += t.state == DONE;
        at_barrier += t.state == AT_BARRIER;
        if (t.state == AT_BARRIER && !first) first = &t;
    }
    if (resolved) return true;
    if (done == n) return false;
    for (Thread& t : l.threads)
        if (t.state == DONE || t.line != first->line || strcmp(t.file, first->file) != 0) {
            l.fault = "a barrier that not all threads reach: " + place(*first) + ", while " +
                      (t.state == DONE ? "thread " + std::to_string(t.index.x) + " has ended" : place(t));
            return false;
        }
    for (Thread& t : l.threads) t.state = READY;
    return true;
}

/* Run block (x, y); `backwards`: threads take turns from the last to the first, which shows what hangs on their order. */
inline void run_block(unsigned x, unsigned y, bool backwards) {
    Launch& l = launch();
    const int n = (int)l.block.x;
    l.index = {x, y, 0};
    memset(l.shared.data(), 0xff, l.shared.size());
    for (int k = 0; k < n; ++k) {
        Thread& t = l.threads[k];
        t.index = {(unsigned)k, 0, 0};
        t.state = READY;
        t.file = "";
        t.line = 0;
        t.copies.clear();
        t.group = 0;
        make_fiber(t.fiber, l.stacks.data() + (size_t)k * STACK, STACK, enter);
    }
    do {
        for (int k = 0; k < n && l.fault.empty(); ++k) {
            Thread& t = l.threads[backwards ? n - 1 - k : k];
            if (t.state != READY) continue;
            current() = &t;
            switch_fibers(l.scheduler, t.fiber);
        }
    } while (l.fault.empty() && go_on());
    if (!l.fault.empty()) throw std::runtime_error(std::string(l.kernel->name) + ": " + l.fault);
}

/* Before the blocks: the kernel, and what all its blocks share. */
inline void begin(const std::string& name, const std::string& codes, const char* arguments, size_t bytes, unsigned grid_x,
                  unsigned grid_y, unsigned threads, size_t shared) {
    Launch& l = launch();
    l.kernel = nullptr;
    for (const Kernel& k : kernels())
        if (name == k.name) l.kernel = &k;
    if (!l.kernel) throw std::runtime_error("no kernel " + name);
    if (codes != l.kernel->codes || bytes != l.kernel->bytes)
        throw std::runtime_error(name + " takes " + l.kernel->codes + ", got " + codes);
    if (threads == 0 || threads % LANES || threads > MOST_THREADS)
        throw std::runtime_error(name + ": a block of " + std::to_string(threads) + " threads");
    if (grid_x > MOST_BLOCKS_X || grid_y > MOST_BLOCKS_Y)
        throw std::runtime_error(name + ": a grid of " + std::to_string(grid_x) + " x " + std::to_string(grid_y) + " blocks");
    if (shared > 227 * 1024) throw std::runtime_error(name + ": " + std::to_string(shared) + " bytes of shared memory");
    l.arguments = arguments;
    l.grid = {grid_x, grid_y, 1};
    l.block = {threads, 1, 1};
    l.threads.resize(threads);
    l.stacks.resize((size_t)threads * STACK);
    l.shared.resize(shared);
    l.fault.clear();
}

} /* namespace emulation */

#include "emulation_arguments.h"
#include "emulation_words.h"

#endif
