// upfirdn2d of pictures with interleaved channels (channels-last): a thread takes 16 bytes of channels of a few neighbouring
// outputs. Each input that they need is read once, and added to all outputs that it belongs to, in registers.
#include "resample.cuh"

template <typename T, int UPX, int UPY, int DOWNX, int DOWNY, int TAPSX, int TAPSY, int OUTX, int OUTY>
__global__ void __launch_bounds__(128, UPX * UPY > 1 ? 4 : 3)
    upfirdn2d_channels(const T *__restrict__ in, const float *__restrict__ taps, T *__restrict__ out, float gain, long long start,
                       long long row, long long column, int outer, int batch, int channels, int in_height, int in_width,
                       int out_height, int out_width, int left, int top, long long in_n, long long in_c, long long in_h,
                       long long in_w, long long out_n, long long out_c, long long out_h, long long out_w, int shift_x, int shift_y,
                       int strips, int tiles_x, int tiles_y) {
    static_assert(OUTX % UPX == 0 && OUTY % UPY == 0, "all threads begin with the same phase of the filter");
    constexpr int N = vector_size<T>;
    constexpr int INX = reach(OUTX, UPX, DOWNX, TAPSX), INY = reach(OUTY, UPY, DOWNY, TAPSY);
    constexpr bool SHORT = TAPSX * TAPSY <= 16;  // a longer filter is read row by row
    const Filter<float> filter = {taps, start, row, column, outer != 0};
    unsigned rest = blockIdx.x, next = rest / strips;  // blocks: channels fastest, then x, y, picture
    const int channel = int((rest - next * strips) * blockDim.x + threadIdx.x) * N;
    rest = next, next = rest / tiles_x;
    const int x0 = int((rest - next * tiles_x) * blockDim.y + threadIdx.y) * OUTX - shift_x;
    const int n = int(next / tiles_y);
    const int y0 = int((next - n * tiles_y) * blockDim.z + threadIdx.z) * OUTY - shift_y;
    if (channel >= channels || x0 >= out_width || y0 >= out_height) return;
    float weight[SHORT ? TAPSY : 1][TAPSX];
    if constexpr (SHORT) {
#pragma unroll
        for (int ky = 0; ky < TAPSY; ky++)
#pragma unroll
            for (int kx = 0; kx < TAPSX; kx++) weight[ky][kx] = filter.at<float>(ky, kx) * gain;
    }
    const int left_input = (x0 * DOWNX - left) / UPX, top_input = (y0 * DOWNY - top) / UPY;
    const T *corner = in + n * in_n + channel + left_input * in_w;
    float sum[OUTY][OUTX][N] = {};
#pragma unroll(SHORT ? INY : 1)
    for (int j = 0; j < INY; j++) {
        const bool row_inside = inside(top_input + j, in_height);
        const T *line = corner + (top_input + j) * in_h;
        Vector<T> pixel[INX];
#pragma unroll
        for (int i = 0; i < INX; i++) {
            pixel[i] = {};
            if (row_inside && inside(left_input + i, in_width))
                pixel[i] = *reinterpret_cast<const Vector<T> *>(line + i * in_w);
        }
#pragma unroll
        for (int r = 0; r < OUTY; r++) {
            const int ky = j * UPY - r * DOWNY;
            if (ky < 0 || ky >= TAPSY) continue;
            if constexpr (!SHORT) {
#pragma unroll
                for (int kx = 0; kx < TAPSX; kx++) weight[0][kx] = filter.at<float>(ky, kx) * gain;
            }
#pragma unroll
            for (int i = 0; i < INX; i++)
#pragma unroll
                for (int s = 0; s < OUTX; s++) {
                    const int kx = i * UPX - s * DOWNX;
                    if (kx < 0 || kx >= TAPSX) continue;
#pragma unroll
                    for (int c = 0; c < N; c++) sum[r][s][c] += weight[SHORT ? ky : 0][kx] * unpack(pixel[i], c);
                }
        }
    }
#pragma unroll
    for (int r = 0; r < OUTY; r++)
#pragma unroll
        for (int s = 0; s < OUTX; s++)
            if (inside(y0 + r, out_height) && inside(x0 + s, out_width))
                *reinterpret_cast<Vector<T> *>(out + n * out_n + (y0 + r) * out_h + (x0 + s) * out_w + channel) =
                    narrowed<T, N>(sum[r][s]);
}

