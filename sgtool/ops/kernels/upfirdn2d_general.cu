// upfirdn2d for any factors, taps, padding and strides: one output per thread, a loop over the taps that meet a sample.
#include "resample.cuh"

// The taps of one output along one axis: first tap, its input, how many.
struct Run {
    int tap, input, count;
    __device__ Run(int output, int up, int down, int taps, int size, int padding) {
        const int before = output * down - padding;  // place of tap 0 in the upsampled picture
        tap = before < 0 ? -before : (up - before % up) % up;
        input = (before + tap) / up;
        const int by_taps = tap < taps ? (taps - tap - 1) / up + 1 : 0;
        const int by_size = input < size ? size - input : 0;
        count = by_taps < by_size ? by_taps : by_size;
    }
};

template <typename T, typename F, bool INTERLEAVED>
__global__ void __launch_bounds__(256, 4)
    upfirdn2d_general(const T *__restrict__ in, const F *__restrict__ taps, T *__restrict__ out, arithmetic<T> gain, long long start,
                      long long row, long long column, int outer, int batch, int channels, int in_height, int in_width, int out_height,
                      int out_width, int left, int top, long long in_n, long long in_c, long long in_h, long long in_w,
                      long long out_n, long long out_c, long long out_h, long long out_w, int up_x, int up_y, int down_x, int down_y,
                      int taps_x, int taps_y) {
    const Filter<F> filter = {taps, start, row, column, outer != 0};
    const long long deep = (long long)batch * (INTERLEAVED ? out_height : channels);
    const int wide = INTERLEAVED ? channels : out_width, high = INTERLEAVED ? out_width : out_height;
    const int a = blockIdx.x * blockDim.x + threadIdx.x;
    if (a >= wide) return;
    for (long long d = (long long)blockIdx.z * blockDim.z + threadIdx.z; d < deep; d += gridDim.z * blockDim.z) {
        const int n = int(d / (INTERLEAVED ? out_height : channels)), rest = int(d % (INTERLEAVED ? out_height : channels));
        for (int e = blockIdx.y * blockDim.y + threadIdx.y; e < high; e += gridDim.y * blockDim.y) {
            const int c = INTERLEAVED ? a : rest, x = INTERLEAVED ? e : a, y = INTERLEAVED ? rest : e;
            const Run across(x, up_x, down_x, taps_x, in_width, left), along(y, up_y, down_y, taps_y, in_height, top);
            const T *plane = in + n * in_n + c * in_c;
            arithmetic<T> sum = 0;
            for (int j = 0; j < along.count; j++)
                for (int i = 0; i < across.count; i++)
                    sum += filter.template at<arithmetic<T>>(along.tap + j * up_y, across.tap + i * up_x) *
                           widen(plane[(along.input + j) * in_h + (across.input + i) * in_w]);
            narrow(sum * gain, out[n * out_n + c * out_c + y * out_h + x * out_w]);
        }
    }
}
