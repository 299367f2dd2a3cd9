// What the kernels of upfirdn2d share: how they walk the filter and where an output's taps lie.
//
// In one axis: out[o] = sum over k of filter[k] * v[o * down - padding + k], where v[i * up] = in[i] and v is zero elsewhere.
// A kernel that knows up, down and taps at compile time lets its tiles begin at outputs o with o * down - padding = i * up.
// Then the output o + r takes the input i + j by the tap k = j * up - r * down, and by no other.
#ifndef SGTOOL_RESAMPLE_CUH
#define SGTOOL_RESAMPLE_CUH
#include "types.cuh"

// The filter in the order in which it meets the picture: steps are negative where it is to be turned round.
template <typename F>
struct Filter {
    const F *__restrict__ taps;
    long long start, row, column;
    bool outer;  // one axis of taps, to be used along both

    template <typename A>
    __device__ A at(int y, int x) const {
        if (outer) return A(taps[start + y * column]) * A(taps[start + x * column]);
        return A(taps[start + y * row + x * column]);
    }
};

// How many inputs a run of outputs needs.
__device__ constexpr int reach(int outputs, int up, int down, int taps) {
    return ((outputs - 1) * down + taps - 1) / up + 1;
}

__device__ inline bool inside(int i, int size) {
    return unsigned(i) < unsigned(size);
}

#endif
