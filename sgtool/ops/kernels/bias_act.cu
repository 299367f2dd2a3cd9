// clip(gain * act(x + b), -clamp, clamp), and its first and second derivative, each in one pass over memory.
//
// ORDER 0: first = x, out = the result.
// ORDER 1: first = dy, ref = result or input, out = dy * slope.
// ORDER 2: first = ddx, ref = input, third = dy, out = ddx * slope, out2 = ddx * dy * (derivative of the slope).
// A clamp below zero means that there is none. NaN stays NaN.
#include "types.cuh"

// ---- activations: value, first and second derivative. None of them overflows on the way to a finite result.

enum { LINEAR, RELU, LRELU, TANH, SIGMOID, ELU, SELU, SOFTPLUS, SWISH };
enum { NO_BIAS, ONE, VECTOR };

template <int ACT, typename A>
struct Curve;

template <typename A>
struct Curve<LINEAR, A> {
    __device__ static A value(A x, A) { return x; }
    __device__ static A slope(A, A) { return 1; }
    __device__ static A bend(A, A) { return 0; }
};

template <typename A>
struct Curve<RELU, A> {
    __device__ static A value(A x, A) { return x < 0 ? A(0) : x; }
    __device__ static A slope(A x, A) { return x > 0 ? A(1) : A(0); }
    __device__ static A bend(A, A) { return 0; }
};

template <typename A>
struct Curve<LRELU, A> {
    __device__ static A value(A x, A alpha) { return x > 0 ? x : x * alpha; }
    __device__ static A slope(A x, A alpha) { return x > 0 ? A(1) : alpha; }
    __device__ static A bend(A, A) { return 0; }
};

template <typename A>
struct Curve<TANH, A> {
    __device__ static A value(A x, A) { return tanh(x); }
    __device__ static A slope(A x, A) {
        const A t = tanh(x);
        return (1 - t) * (1 + t);
    }
    __device__ static A bend(A x, A) {
        const A t = tanh(x);
        return -2 * t * (1 - t) * (1 + t);
    }
};

// The logistic function of x and of -x. The exponential's argument is never positive.
template <typename A>
struct Logistic {
    A here, opposite;
    __device__ explicit Logistic(A x) {
        const A e = exp(-fabs(x));
        const A large = 1 / (1 + e), small = e * large;
        here = x < 0 ? small : large;
        opposite = x < 0 ? large : small;
    }
};

template <typename A>
struct Curve<SIGMOID, A> {
    __device__ static A value(A x, A) { return Logistic<A>(x).here; }
    __device__ static A slope(A x, A) {
        const Logistic<A> s(x);
        return s.here * s.opposite;
    }
    __device__ static A bend(A x, A) {
        const Logistic<A> s(x);
        return s.here * s.opposite * (s.opposite - s.here);
    }
};

// scale * (x > 0 ? x : alpha * (exp(x) - 1))
template <typename A>
__device__ inline A exponential_linear(A x, A scale, A alpha) {
    return x > 0 ? scale * x : scale * alpha * expm1(x);
}

template <typename A>
struct Curve<ELU, A> {
    __device__ static A value(A x, A) { return exponential_linear<A>(x, 1, 1); }
    __device__ static A slope(A x, A) { return x > 0 ? A(1) : exp(x); }
    __device__ static A bend(A x, A) { return x > 0 ? A(0) : exp(x); }
};

template <typename A>
struct Curve<SELU, A> {  // constants: Klambauer et al. 2017, section 2
    static constexpr A scale = A(1.0507009873554804934193349852946), alpha = A(1.6732632423543772848170429916717);
    __device__ static A value(A x, A) { return exponential_linear<A>(x, scale, alpha); }
    __device__ static A slope(A x, A) { return x > 0 ? scale : scale * alpha * exp(x); }
    __device__ static A bend(A x, A) { return x > 0 ? A(0) : scale * alpha * exp(x); }
};

template <typename A>
struct Curve<SOFTPLUS, A> {  // PyTorch's, which is the identity above 20
    static constexpr A threshold = 20;
    __device__ static A value(A x, A) { return x > threshold ? x : (x > 0 ? x : A(0)) + log1p(exp(-fabs(x))); }
    __device__ static A slope(A x, A) { return x > threshold ? A(1) : Logistic<A>(x).here; }
    __device__ static A bend(A x, A) {
        const Logistic<A> s(x);
        return x > threshold ? A(0) : s.here * s.opposite;
    }
};

template <typename A>
struct Curve<SWISH, A> {
    __device__ static A value(A x, A) { return x * Logistic<A>(x).here; }
    __device__ static A slope(A x, A) {
        const Logistic<A> s(x);
        return s.here * (1 + x * s.opposite);
    }
    __device__ static A bend(A x, A) {
        const Logistic<A> s(x);
        return s.here * s.opposite * (2 + x * (s.opposite - s.here));
    }
};

// ---- one element

template <typename T, int ACT, int ORDER>
struct Element {
    using A = arithmetic<T>;
    A alpha, gain, clamp;
    bool from_output;  // `ref` is the result; activations whose slope follows from the result's sign only

    // Return `out`; with ORDER 2 put `out2` into `curved`.
    __device__ A operator()(A first, A ref, A third, A bias, A &curved) const {
        if constexpr (ORDER == 0) {
            const A y = Curve<ACT, A>::value(first + bias, alpha) * gain;
            if (clamp < 0) return y;
            return y > clamp ? clamp : y < -clamp ? -clamp : y;
        }
        const A x = from_output ? ref : ref + bias;
        const bool flat = clamp >= 0 && clamped(x);
        if constexpr (ORDER == 2) curved = flat ? A(0) : first * third * (Curve<ACT, A>::bend(x, alpha) * gain);
        return flat ? A(0) : first * (Curve<ACT, A>::slope(x, alpha) * gain);
    }

    // The result was rounded when it was stored, so both sides are compared as they are stored.
    __device__ bool clamped(A x) const {
        const A y = from_output ? x : rounded<T>(Curve<ACT, A>::value(x, alpha) * gain);
        return fabs(y) >= rounded<T>(clamp);
    }
};

// ---- which bias belongs to which element

// Quotients by a number that is the same for the whole launch; see _divisor in bias_act.py.
template <typename INDEX>
struct Divisor {
    INDEX number;
    unsigned multiplier, shift;
    __device__ Divisor(long long n, long long packed) : number(INDEX(n)), multiplier(unsigned(packed)), shift(unsigned(packed >> 32)) {}
    __device__ INDEX quotient(INDEX i) const {
        if constexpr (sizeof(INDEX) == 4) return INDEX((unsigned long long)i * multiplier >> shift);
        return i / number;
    }
};

template <typename INDEX>
struct Channels {
    Divisor<INDEX> inner, count;  // elements of one channel in a row; channels
    __device__ INDEX of(INDEX i) const {
        const INDEX row = inner.quotient(i);
        return row - count.quotient(row) * count.number;
    }
};

// ---- all tensors dense, in the same order, and aligned: element i lies at offset i

template <typename T, int ACT, int ORDER, typename INDEX>
__global__ void __launch_bounds__(256) bias_act(const T *__restrict__ first, const T *__restrict__ ref, const T *__restrict__ third,
                                                T *__restrict__ out, T *__restrict__ out2, const T *__restrict__ b, arithmetic<T> alpha,
                                                arithmetic<T> gain, arithmetic<T> clamp, int from_output, long long numel, int bias_kind,
                                                long long bias_step, long long inner, long long inner_divisor, long long channels,
                                                long long channels_divisor) {
    using A = arithmetic<T>;
    constexpr int N = vector_size<T>, UNROLL = ORDER == 0 ? 2 : 1;
    const Element<T, ACT, ORDER> element = {alpha, gain, clamp, from_output != 0};
    const Channels<INDEX> channel = {{inner, inner_divisor}, {channels, channels_divisor}};
    const INDEX total = (INDEX)numel / N, start = (INDEX)blockIdx.x * UNROLL * blockDim.x + threadIdx.x;
    const Vector<T> zero = {};
    Vector<T> one[UNROLL], two[UNROLL], three[UNROLL], biases[UNROLL];
#pragma unroll
    for (int u = 0; u < UNROLL; u++) {  // everything is asked for before anything is waited for
        const INDEX v = start + u * blockDim.x;
        const bool here = v < total;
        one[u] = here ? reinterpret_cast<const Vector<T> *>(first)[v] : zero;
        two[u] = ORDER >= 1 && here && ref ? reinterpret_cast<const Vector<T> *>(ref)[v] : zero;
        three[u] = ORDER == 2 && here ? reinterpret_cast<const Vector<T> *>(third)[v] : zero;
        biases[u] = zero;
        if (here && bias_kind == ONE) {
            const T bias = b[(long long)channel.of(v * N) * bias_step];
#pragma unroll
            for (int k = 0; k < N; k++) biases[u].value[k] = bias;
        }
        if (here && bias_kind == VECTOR) biases[u] = *reinterpret_cast<const Vector<T> *>(b + channel.of(v * N));
    }
#pragma unroll
    for (int u = 0; u < UNROLL; u++) {
        const INDEX v = start + u * blockDim.x;
        if (v >= total) break;
        A result[N], curved[N];
#pragma unroll
        for (int k = 0; k < N; k++) {
            result[k] = element(unpack(one[u], k), unpack(two[u], k), unpack(three[u], k), unpack(biases[u], k), curved[k]);
        }
        reinterpret_cast<Vector<T> *>(out)[v] = narrowed<T, N>(result);
        if constexpr (ORDER == 2) reinterpret_cast<Vector<T> *>(out2)[v] = narrowed<T, N>(curved);
    }
    const INDEX i = total * N + threadIdx.x;  // what does not fill a vector
    if (blockIdx.x == 0 && i < (INDEX)numel) {
        A curved;
        const A bias = bias_kind == NO_BIAS ? A(0) : widen(b[(long long)channel.of(i) * bias_step]);
        narrow(element(widen(first[i]), ORDER >= 1 && ref ? widen(ref[i]) : A(0), ORDER == 2 ? widen(third[i]) : A(0), bias, curved),
               out[i]);
        if constexpr (ORDER == 2) narrow(curved, out2[i]);
    }
}

// ---- any strides along up to four axes; an index counts with the last axis fastest, the one in which `out` is dense

template <typename INDEX>
struct Place {
    INDEX at[4];
    __device__ Place(INDEX i, const Divisor<INDEX> &second, const Divisor<INDEX> &third, const Divisor<INDEX> &last) {
        const INDEX i2 = last.quotient(i), i1 = third.quotient(i2);
        at[3] = i - i2 * last.number;
        at[2] = i2 - i1 * third.number;
        at[0] = second.quotient(i1);
        at[1] = i1 - at[0] * second.number;
    }
    __device__ long long offset(long long s0, long long s1, long long s2, long long s3) const {
        return (long long)at[0] * s0 + (long long)at[1] * s1 + (long long)at[2] * s2 + (long long)at[3] * s3;
    }
};

template <typename T, int ACT, int ORDER, typename INDEX>
__global__ void __launch_bounds__(256)
    bias_act_strided(const T *__restrict__ first, const T *__restrict__ ref, const T *__restrict__ third, T *__restrict__ out,
                     T *__restrict__ out2, const T *__restrict__ b, arithmetic<T> alpha, arithmetic<T> gain, arithmetic<T> clamp,
                     int from_output, long long numel, int bias_kind, long long bias_step, long long inner, long long inner_divisor,
                     long long channels, long long channels_divisor, long long size1, long long divisor1, long long size2,
                     long long divisor2, long long size3, long long divisor3, long long first0, long long first1, long long first2,
                     long long first3, long long ref0, long long ref1, long long ref2, long long ref3, long long third0,
                     long long third1, long long third2, long long third3, long long out0, long long out1, long long out_2,
                     long long out3, long long curved0, long long curved1, long long curved2, long long curved3) {
    using A = arithmetic<T>;
    const INDEX i = (INDEX)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (INDEX)numel) return;
    const Place<INDEX> place(i, {size1, divisor1}, {size2, divisor2}, {size3, divisor3});
    const Channels<INDEX> channel = {{inner, inner_divisor}, {channels, channels_divisor}};
    const Element<T, ACT, ORDER> element = {alpha, gain, clamp, from_output != 0};
    A two = 0, three = 0, bias = 0, curved;
    const A one = widen(first[place.offset(first0, first1, first2, first3)]);
    if (ORDER >= 1 && ref) two = widen(ref[place.offset(ref0, ref1, ref2, ref3)]);
    if (ORDER == 2) three = widen(third[place.offset(third0, third1, third2, third3)]);
    if (bias_kind != NO_BIAS) bias = widen(b[(long long)channel.of(i) * bias_step]);
    narrow(element(one, two, three, bias, curved), out[place.offset(out0, out1, out_2, out3)]);
    if constexpr (ORDER == 2) narrow(curved, out2[place.offset(curved0, curved1, curved2, curved3)]);
}
