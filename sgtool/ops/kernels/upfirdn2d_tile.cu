// upfirdn2d plane by plane: the threads of a block that share threadIdx.z read a tile of one plane into shared memory, then
// each computes a few neighbouring outputs in registers. Small planes are packed into one block along z.
// SEPARABLE: a filter with one axis, applied to the rows of the tile, then to the columns of what that gives.
#include "resample.cuh"

extern __shared__ float4 shared_memory[];  // the taps, then for each plane its tile, then (SEPARABLE) the filtered rows

// Read COUNT neighbouring floats, up to the next full group of GROUP, which `from` is aligned to.
template <int COUNT, int GROUP, int SIZE>
__device__ inline void read_line(const float *from, float (&to)[SIZE]) {
    static_assert(SIZE % GROUP == 0 && SIZE >= COUNT, "a line consists of whole groups");
#pragma unroll
    for (int i = 0; i < SIZE; i += GROUP) {
        const Pack<float, GROUP> group = *reinterpret_cast<const Pack<float, GROUP> *>(from + i);
#pragma unroll
        for (int k = 0; k < GROUP; k++) to[i + k] = group.value[k];
    }
}

template <int UP, int DOWN, int TAPS, int OUT>
struct Axis {
    static_assert(OUT % UP == 0, "all threads begin with the same phase of the filter");
    static constexpr int step = OUT * DOWN / UP;  // inputs from one thread's first to the next thread's first
    static constexpr int group = step % 4 == 0 ? 4 : step % 2 == 0 ? 2 : 1;
    static constexpr int need = reach(OUT, UP, DOWN, TAPS);
    static constexpr int line = (need + group - 1) / group * group;
};

// sum[s] += inputs that output s takes, times their taps.
template <int UP, int DOWN, int TAPS, int OUT, int SIZE>
__device__ inline void filter_line(const float (&line)[SIZE], const float *weights, float (&sum)[OUT]) {
#pragma unroll
    for (int i = 0; i < Axis<UP, DOWN, TAPS, OUT>::need; i++)
#pragma unroll
        for (int s = 0; s < OUT; s++) {
            const int k = i * UP - s * DOWN;
            if (k >= 0 && k < TAPS) sum[s] += weights[k] * line[i];
        }
}

// Write a thread's outputs of one row; `whole`: all at once, where all lie in the picture.
template <typename T, int OUT>
__device__ inline void write_line(T *to, long long step, int x, int width, bool whole, const float (&values)[OUT]) {
    if (whole && x >= 0 && x + OUT <= width) {
        *reinterpret_cast<Pack<T, OUT> *>(to + x) = narrowed<T, OUT>(values);
        return;
    }
#pragma unroll
    for (int s = 0; s < OUT; s++)
        if (inside(x + s, width)) narrow(values[s], to[(x + s) * step]);
}

template <typename T, int UPX, int UPY, int DOWNX, int DOWNY, int TAPSX, int TAPSY, int OUTX, int OUTY, bool SEPARABLE>
__global__ void __launch_bounds__(256, 4)
    upfirdn2d_tile(const T *__restrict__ in, const float *__restrict__ taps, T *__restrict__ out, float gain, long long start,
                   long long row, long long column, int outer, int batch, int channels, int in_height, int in_width, int out_height,
                   int out_width, int left, int top, long long in_n, long long in_c, long long in_h, long long in_w, long long out_n,
                   long long out_c, long long out_h, long long out_w, int shift_x, int shift_y, int columns, int rows, int whole) {
    using Across = Axis<UPX, DOWNX, TAPSX, OUTX>;
    constexpr int INY = reach(OUTY, UPY, DOWNY, TAPSY), WEIGHTS = SEPARABLE ? TAPSX : TAPSX * TAPSY;
    constexpr int UNROLL = TAPSX * TAPSY <= 16 || SEPARABLE ? INY : 1;
    const Filter<float> filter = {taps, start, row, column, outer != 0};
    const int wide = blockDim.x * OUTX, x_thread = threadIdx.x * OUTX;
    float *weights = reinterpret_cast<float *>(shared_memory);
    float *tile = weights + (WEIGHTS + 3) / 4 * 4 + threadIdx.z * (rows * (columns + (SEPARABLE ? wide : 0)));
    float *filtered = tile + rows * columns;  // [rows][wide]
    const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    for (int k = thread; k < WEIGHTS; k += blockDim.x * blockDim.y * blockDim.z)
        weights[k] = SEPARABLE ? taps[start + k * column] : filter.at<float>(k / TAPSX, k % TAPSX) * gain;

    const unsigned planes = unsigned(batch) * unsigned(channels);
    const int x0 = int(blockIdx.x) * wide - shift_x, tall = blockDim.y * OUTY;
    const int left_input = (x0 * DOWNX - left) / UPX;
    for (unsigned first = blockIdx.z * blockDim.z; first < planes; first += gridDim.z * blockDim.z) {
        const unsigned plane = first + threadIdx.z, n = plane / channels, c = plane - n * channels;
        const T *from = in + n * in_n + c * in_c;
        T *to = out + n * out_n + c * out_c;
        for (int block = blockIdx.y; block * tall - shift_y < out_height; block += gridDim.y) {
            const int y0 = block * tall - shift_y, top_input = (y0 * DOWNY - top) / UPY;
            __syncthreads();  // the tile before this one has been used
            for (int r = threadIdx.y; r < rows; r += blockDim.y) {
                const bool row_inside = plane < planes && inside(top_input + r, in_height);
                const T *line = from + (top_input + r) * in_h + left_input * in_w;
#pragma unroll 4
                for (int i = threadIdx.x; i < columns; i += blockDim.x)
                    tile[r * columns + i] = row_inside && inside(left_input + i, in_width) ? widen(line[i * in_w]) : 0.0f;
            }
            __syncthreads();
            float sum[OUTY][OUTX] = {};
            if constexpr (SEPARABLE) {
                for (int r = threadIdx.y; r < rows; r += blockDim.y) {
                    float line[Across::line];
                    Pack<float, OUTX> result = {};
                    read_line<Across::need, Across::group>(tile + r * columns + threadIdx.x * Across::step, line);
                    filter_line<UPX, DOWNX, TAPSX, OUTX>(line, weights, result.value);
                    *reinterpret_cast<Pack<float, OUTX> *>(filtered + r * wide + x_thread) = result;
                }
                __syncthreads();
            }
            const int first_row = threadIdx.y * (OUTY * DOWNY / UPY);
#pragma unroll(UNROLL)
            for (int j = 0; j < INY; j++) {
                float line[SEPARABLE ? OUTX : Across::line];
                if constexpr (SEPARABLE)
                    read_line<OUTX, OUTX>(filtered + (first_row + j) * wide + x_thread, line);
                else
                    read_line<Across::need, Across::group>(tile + (first_row + j) * columns + threadIdx.x * Across::step, line);
#pragma unroll
                for (int r = 0; r < OUTY; r++) {
                    const int k = j * UPY - r * DOWNY;
                    if (k < 0 || k >= TAPSY) continue;
                    if constexpr (SEPARABLE) {
#pragma unroll
                        for (int s = 0; s < OUTX; s++) sum[r][s] += weights[k] * gain * line[s];
                    } else {
                        filter_line<UPX, DOWNX, TAPSX, OUTX>(line, weights + k * TAPSX, sum[r]);
                    }
                }
            }
            if (plane >= planes) continue;
#pragma unroll
            for (int r = 0; r < OUTY; r++) {
                const int y = y0 + int(threadIdx.y) * OUTY + r;
                if (inside(y, out_height)) write_line<T, OUTX>(to + y * out_h, out_w, x0 + x_thread, out_width, whole != 0, sum[r]);
            }
        }
    }
}
