// Just enough of CUDA to compile the kernels as C++ and to run them on a CPU: blocks one after the other, the threads of a
// block as fibers that switch at __syncthreads(). For the tests only.
#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__ static
#define __device__
#define __shared__
#define __launch_bounds__(...)
#define __syncthreads() shim::wait_at_barrier(__LINE__)
using std::exp, std::expm1, std::fabs, std::log1p, std::tanh;

struct alignas(16) float4 {
    float x, y, z, w;
};
struct Dimensions {
    unsigned x, y, z;
};
static Dimensions gridDim, blockDim, blockIdx, threadIdx;

// ---- shared memory: the kernels' array, with room behind it that must stay as it is
constexpr size_t SHARED_BYTES = 48 << 10, SHARED_GUARD = 4 << 10;
float4 shared_memory[(SHARED_BYTES + SHARED_GUARD) / sizeof(float4)];

// ---- conversions, as types.cuh declares them
#define SGTOOL_HOST_CONVERSIONS
struct float16;
struct bfloat16;
static float widen(float16);
static float widen(bfloat16);
static void narrow(float, float16 &);
static void narrow(float, bfloat16 &);
static void narrow_pair(float, float, float16 *);
static void narrow_pair(float, float, bfloat16 *);
#include "types.cuh"

static float bits_to_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
static unsigned float_to_bits(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}

static float widen(bfloat16 h) {
    return bits_to_float(unsigned(h.bits) << 16);
}
static void narrow(float value, bfloat16 &result) {  // to the nearest, ties to even
    const unsigned bits = float_to_bits(value);
    result.bits = std::isnan(value) ? 0x7fff : (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
static float widen(float16 h) {
    const unsigned exponent = h.bits >> 10 & 31, fraction = h.bits & 1023, sign = unsigned(h.bits >> 15) << 31;
    if (exponent == 31) return bits_to_float(sign | 0x7f800000u | fraction << 13);
    const float size = exponent ? std::ldexp(float(1024 + fraction), int(exponent) - 25) : std::ldexp(float(fraction), -24);
    return sign ? -size : size;
}
static void narrow(float value, float16 &result) {
    const unsigned short sign = std::signbit(value) ? 0x8000 : 0;
    const float size = std::fabs(value);
    if (std::isnan(value)) result.bits = 0x7fff;
    else if (size >= 65520.0f) result.bits = sign | 0x7c00;
    else {
        const int exponent = size < 6.103515625e-05f ? -14 : std::ilogb(size);
        const float steps = std::nearbyint(std::ldexp(size, 10 - exponent));  // exact but for this rounding, ties to even
        result.bits = sign | (unsigned short)(((exponent + 14) << 10) + int(steps));  // a carry makes the next exponent
    }
}
static void narrow_pair(float first, float second, float16 *result) {
    narrow(first, result[0]);
    narrow(second, result[1]);
}
static void narrow_pair(float first, float second, bfloat16 *result) {
    narrow(first, result[0]);
    narrow(second, result[1]);
}

namespace shim {
// ---- a kernel and its parameters
struct Kernel {
    std::string name, parameters;  // one letter per parameter: r/w pointer to const/other, i int, l long long, f float, d double
    void (*call)(void *function, void **arguments);
    void *function;
};

template <typename P>
constexpr char letter() {
    if constexpr (std::is_pointer_v<P>) return std::is_const_v<std::remove_pointer_t<P>> ? 'r' : 'w';
    return std::is_same_v<P, int> ? 'i' : std::is_same_v<P, long long> ? 'l' : std::is_same_v<P, float> ? 'f' : std::is_same_v<P, double> ? 'd' : '?';
}

template <typename... P, size_t... I>
void spread(void (*function)(P...), void **arguments, std::index_sequence<I...>) {
    function(*static_cast<P *>(arguments[I])...);
}

template <typename... P>
Kernel make(const char *name, void (*function)(P...)) {
    auto call = [](void *f, void **arguments) {
        spread(reinterpret_cast<void (*)(P...)>(f), arguments, std::index_sequence_for<P...>());
    };
    return {name, {letter<P>()...}, call, reinterpret_cast<void *>(function)};
}

// ---- threads of a block
struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(256 << 10);
    int line = 0;  // of the barrier it waits at; 0: finished
};
static std::vector<Fiber> fibers;
static ucontext_t scheduler;
static Fiber *running = nullptr;
static const Kernel *kernel;
static void **arguments;

static void wait_at_barrier(int line) {
    Fiber *me = running;
    me->line = line;
    const Dimensions mine = threadIdx;
    swapcontext(&me->context, &scheduler);
    threadIdx = mine;
}

static void thread_main() {
    kernel->call(kernel->function, arguments);
    running->line = 0;
}

static Dimensions unravel(size_t i, Dimensions size) {
    return {unsigned(i % size.x), unsigned(i / size.x % size.y), unsigned(i / size.x / size.y)};
}

static void resume(size_t i, bool first) {
    Fiber &fiber = fibers[i];
    if (first) {
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        fiber.context.uc_link = &scheduler;
        makecontext(&fiber.context, thread_main, 0);
        threadIdx = unravel(i, blockDim);
    }
    running = &fiber;
    swapcontext(&scheduler, &fiber.context);
}

// Run a block; nullptr, or what is wrong. Shared memory begins as NaN.
static const char *run_block(size_t shared, bool backward) {
    const size_t count = size_t(blockDim.x) * blockDim.y * blockDim.z;
    std::memset(shared_memory, 0xff, sizeof shared_memory);
    if (fibers.size() < count) fibers.resize(count);
    for (bool first = true, waiting = true; waiting; first = false) {
        for (size_t i = 0; i < count; i++) resume(backward ? count - 1 - i : i, first);
        for (size_t i = 1; i < count; i++)
            if (fibers[i].line != fibers[0].line) return "threads of a block wait at different barriers, or some have ended";
        waiting = fibers[0].line != 0;
    }
    const unsigned char *bytes = reinterpret_cast<unsigned char *>(shared_memory);
    for (size_t i = shared; i < sizeof shared_memory; i++)
        if (bytes[i] != 0xff) return "wrote beyond the shared memory that was asked for";
    return nullptr;
}

static const char *run(const Kernel &which, const unsigned *sizes, size_t shared, void **values, bool backward) {
    kernel = &which;
    arguments = values;
    gridDim = {sizes[0], sizes[1], sizes[2]};
    blockDim = {sizes[3], sizes[4], sizes[5]};
    if (shared > SHARED_BYTES) return "more shared memory than a block has";
    const size_t blocks = size_t(gridDim.x) * gridDim.y * gridDim.z;
    for (size_t i = 0; i < blocks; i++) {
        blockIdx = unravel(backward ? blocks - 1 - i : i, gridDim);
        if (const char *wrong = run_block(shared, backward)) return wrong;
    }
    return nullptr;
}
}  // namespace shim
