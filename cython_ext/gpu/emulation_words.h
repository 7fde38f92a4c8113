/* CUDA's words for what runs in a kernel: places, barriers, votes, atomic operations; a part of emulation.h. */
#ifndef EVENTSNN_EMULATION_WORDS_H
#define EVENTSNN_EMULATION_WORDS_H

namespace emulation {

template <class T>
inline T atomic_add(T* p, T v) {
    const T old = *p;
    *p = (T)(old + v);
    return old;
}
template <class T>
inline T atomic_max(T* p, T v) {
    const T old = *p;
    if (v > old) *p = v;
    return old;
}
template <class T>
inline T atomic_min(T* p, T v) {
    const T old = *p;
    if (v < old) *p = v;
    return old;
}
template <class T>
inline T atomic_or(T* p, T v) {
    const T old = *p;
    *p = old | v;
    return old;
}
template <class T>
inline T atomic_exchange(T* p, T v) {
    const T old = *p;
    *p = v;
    return old;
}
template <class T>
inline T atomic_swap_if(T* p, T expected, T v) {
    const T old = *p;
    if (old == expected) *p = v;
    return old;
}
template <class To, class From>
inline To bits(From x) {
    static_assert(sizeof(To) == sizeof(From), "the same size");
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}

} /* namespace emulation */

#define DEVICE static inline
#define DEVICE_CALL static
#define MEMBER inline
#define UNROLL
#define NO_UNROLL
#define FORGET(pointer)
#define __global__
#define __launch_bounds__(...)
#define CHECK_INDEX(index, size) emulation::check_index(index, size, __FILE__, __LINE__)
#define shared_memory (emulation::launch().shared.data())
#define shared_memory_size ((int)emulation::launch().shared.size())
#define threadIdx (emulation::current()->index)
#define blockIdx (emulation::launch().index)
#define blockDim (emulation::launch().block)
#define gridDim (emulation::launch().grid)

#define __syncthreads() emulation::wait(emulation::AT_BARRIER, __FILE__, __LINE__)
#define EMULATION_MEET(operation, mask, value) \
    emulation::meet(emulation::operation, mask, (uint64_t)(value), 0, __FILE__, __LINE__)
#define __syncwarp() ((void)EMULATION_MEET(SYNC, 0xffffffffu, 0))
#define __ballot_sync(mask, p) ((unsigned)EMULATION_MEET(BALLOT, mask, (p) ? 1 : 0))
#define __any_sync(mask, p) (EMULATION_MEET(BALLOT, mask, (p) ? 1 : 0) != 0)
#define __all_sync(mask, p) (EMULATION_MEET(BALLOT, mask, (p) ? 1 : 0) == 0xffffffffu)
#define __match_any_sync(mask, v) ((unsigned)EMULATION_MEET(MATCH, mask, v))
#define EMULATION_SHUFFLE(operation, mask, v, n) \
    emulation::shuffle(emulation::operation, mask, v, (int)(n), __FILE__, __LINE__)
#define __shfl_sync(mask, v, n) EMULATION_SHUFFLE(SHUFFLE, mask, v, n)
#define __shfl_xor_sync(mask, v, n) EMULATION_SHUFFLE(SHUFFLE_XOR, mask, v, n)
#define __shfl_up_sync(mask, v, n) EMULATION_SHUFFLE(SHUFFLE_UP, mask, v, n)
#define __shfl_down_sync(mask, v, n) EMULATION_SHUFFLE(SHUFFLE_DOWN, mask, v, n)

#define atomicAdd(p, v) emulation::atomic_add(p, v)
#define atomicMax(p, v) emulation::atomic_max(p, v)
#define atomicMin(p, v) emulation::atomic_min(p, v)
#define atomicOr(p, v) emulation::atomic_or(p, v)
#define atomicExch(p, v) emulation::atomic_exchange(p, v)
#define atomicCAS(p, expected, v) emulation::atomic_swap_if(p, expected, v)
#define __threadfence()

#define __popc(x) __builtin_popcount(x)
#define __popcll(x) __builtin_popcountll(x)
#define __ffs(x) __builtin_ffs((int)(x))
#define __clz(x) ((x) ? __builtin_clz((unsigned)(x)) : 32)
#define __float_as_int(x) emulation::bits<int>((float)(x))
#define __int_as_float(x) emulation::bits<float>((int)(x))
#define __float_as_uint(x) emulation::bits<unsigned>((float)(x))
#define __uint_as_float(x) emulation::bits<float>((unsigned)(x))
#define __double_as_longlong(x) emulation::bits<long long>((double)(x))
#define __longlong_as_double(x) emulation::bits<double>((long long)(x))
#define __float2ll_rn(x) llrintf(x)
#define __double2ll_rn(x) llrint(x)
#define __float2int_rn(x) ((int)lrintf(x))
#define __ldg(p) (*(p))

#endif
