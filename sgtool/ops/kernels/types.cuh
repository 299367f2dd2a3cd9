// Element types, 16-byte vectors of them, and indices. Storage is 16, 32 or 64 bits; arithmetic is float, for double double.
// The conversions are written here, in PTX, so that compiling a kernel reads no header of the CUDA toolkit.
#ifndef SGTOOL_TYPES_CUH
#define SGTOOL_TYPES_CUH

using index32 = unsigned;  // for less than 2^31 elements
using index64 = unsigned long long;

struct float16 {
    unsigned short bits;
};
struct bfloat16 {
    unsigned short bits;
};

#ifndef SGTOOL_HOST_CONVERSIONS  // tests/ops/kernels/shim.h brings its own, for the CPU
__device__ inline float widen(float16 h) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(h.bits));
    return value;
}

__device__ inline float widen(bfloat16 h) {
    return __uint_as_float(unsigned(h.bits) << 16);
}

__device__ inline void narrow(float value, float16 &result) {
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
}

__device__ inline void narrow(float value, bfloat16 &result) {
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
#else  // to the nearest, ties to even; NaN stays NaN
    const unsigned bits = __float_as_uint(value);
    const unsigned rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    result.bits = (unsigned short)(value == value ? rounded : 0x7fffu);
#endif
}

// Two at once: one instruction where there is one.
__device__ inline void narrow_pair(float first, float second, float16 *result) {
#if __CUDA_ARCH__ >= 800
    asm("{.reg .b32 both; cvt.rn.f16x2.f32 both, %3, %2; mov.b32 {%0, %1}, both;}"
        : "=h"(result[0].bits), "=h"(result[1].bits)
        : "f"(first), "f"(second));
#else
    narrow(first, result[0]);
    narrow(second, result[1]);
#endif
}

__device__ inline void narrow_pair(float first, float second, bfloat16 *result) {
#if __CUDA_ARCH__ >= 800
    asm("{.reg .b32 both; cvt.rn.bf16x2.f32 both, %3, %2; mov.b32 {%0, %1}, both;}"
        : "=h"(result[0].bits), "=h"(result[1].bits)
        : "f"(first), "f"(second));
#else
    narrow(first, result[0]);
    narrow(second, result[1]);
#endif
}
#endif

__device__ inline float widen(float value) {
    return value;
}
__device__ inline double widen(double value) {
    return value;
}
__device__ inline void narrow(float value, float &result) {
    result = value;
}
__device__ inline void narrow(double value, double &result) {
    result = value;
}
__device__ inline void narrow_pair(float first, float second, float *result) {
    result[0] = first;
    result[1] = second;
}
__device__ inline void narrow_pair(double first, double second, double *result) {
    result[0] = first;
    result[1] = second;
}

template <typename T>
struct Arithmetic {
    using type = float;
};
template <>
struct Arithmetic<double> {
    using type = double;
};
template <typename T>
using arithmetic = typename Arithmetic<T>::type;

// `value` as it is after being stored as a T.
template <typename T>
__device__ inline arithmetic<T> rounded(arithmetic<T> value) {
    T stored;
    narrow(value, stored);
    return widen(stored);
}

// N neighbouring elements, read and written by one instruction.
template <typename T, int N>
struct alignas(N * sizeof(T)) Pack {
    T value[N];
};

template <typename T>
constexpr int vector_size = 16 / sizeof(T);
template <typename T>
using Vector = Pack<T, vector_size<T>>;

// Element k of a pack; k is to be known at compile time.
template <typename T, int N>
__device__ inline arithmetic<T> unpack(const Pack<T, N> &pack, int k) {
    return widen(pack.value[k]);
}

#ifndef SGTOOL_HOST_CONVERSIONS
template <int N>
__device__ inline float unpack(const Pack<bfloat16, N> &pack, int k) {  // one instruction on the word that holds two
    unsigned word;
    asm("mov.b32 %0, {%1, %2};" : "=r"(word) : "h"(pack.value[k & ~1].bits), "h"(pack.value[k | 1].bits));
    return __uint_as_float(k & 1 ? word & 0xffff0000u : word << 16);
}
#endif

template <typename T, int N>
__device__ inline Pack<T, N> narrowed(const arithmetic<T> (&from)[N]) {
    Pack<T, N> result;
#pragma unroll
    for (int i = 0; i + 1 < N; i += 2) narrow_pair(from[i], from[i + 1], &result.value[i]);
    if (N % 2) narrow(from[N - 1], result.value[N - 1]);
    return result;
}

#endif
