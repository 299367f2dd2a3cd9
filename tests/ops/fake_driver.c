/* A CUDA driver without a GPU: it keeps the rules that sgtool/ops/cuda.py has to keep, and tells what it was asked to launch.

   Built as libcuda.so.1 and found through LD_LIBRARY_PATH, so that the real cuda-bindings call it. */

#include <stdint.h>
#include <string.h>

enum { INVALID_VALUE = 1, INVALID_IMAGE = 200, INVALID_CONTEXT = 201, NOT_FOUND = 500, CAPTURE_UNSUPPORTED = 900 };

static __thread uintptr_t context;  /* every thread begins without one */
static __thread int capture_mode;   /* 0 global, 1 thread-local, 2 relaxed */
static int modules, largest_shared;

typedef void (*watcher)(const unsigned* grid_block_shared, uintptr_t context, uintptr_t stream, void** parameters);
static watcher watch;

void fake_watch(watcher f) { watch = f; }
int fake_modules(void) { return modules; }
int fake_capture_mode(void) { return capture_mode; }

int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int* version) { *version = 13000; return 0; }
int cuDeviceGet(int* device, int index) { *device = index; return 0; }
int cuDevicePrimaryCtxRetain(uintptr_t* result, int device) { *result = 100 + device; return 0; }
int cuCtxSetCurrent(uintptr_t wanted) { context = wanted; return 0; }

int cuThreadExchangeStreamCaptureMode(int* mode) {
    int before = capture_mode;
    capture_mode = *mode;
    *mode = before;
    return 0;
}

int cuModuleLoadData(uintptr_t* module, const char* image) {
    if (!context) return INVALID_CONTEXT;
    if (capture_mode != 2) return CAPTURE_UNSUPPORTED;
    if (memcmp(image, "\177ELF", 4)) return INVALID_IMAGE;
    *module = ++modules;
    return 0;
}

int cuModuleGetFunction(uintptr_t* function, uintptr_t module, const char* name) {
    *function = 1000 + module;
    return strncmp(name, "_Z", 2) ? NOT_FOUND : 0;
}

int cuFuncSetAttribute(uintptr_t function, int attribute, int value) {
    if (attribute != 8 || value > 232448) return INVALID_VALUE; /* 227 KB, as on sm_90 */
    largest_shared = value;
    return 0;
}

int cuGetErrorName(int error, const char** name) {
    *name = error == INVALID_VALUE ? "CUDA_ERROR_INVALID_VALUE" : "CUDA_ERROR_ANOTHER";
    return 0;
}

int cuLaunchKernel(uintptr_t function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, uintptr_t stream, void** parameters, void** extra) {
    const unsigned numbers[7] = {gx, gy, gz, bx, by, bz, shared};
    if (!context) return INVALID_CONTEXT;
    if (gx == 0 || (int)shared > largest_shared || extra) return INVALID_VALUE;
    if (watch) watch(numbers, context, stream, parameters);
    return 0;
}

#define ENTRY(f) {#f, (void*)f}
static const struct { const char* name; void* address; } table[] = {
    ENTRY(cuInit), ENTRY(cuDriverGetVersion), ENTRY(cuDeviceGet), ENTRY(cuDevicePrimaryCtxRetain), ENTRY(cuCtxSetCurrent),
    ENTRY(cuThreadExchangeStreamCaptureMode), ENTRY(cuModuleLoadData), ENTRY(cuModuleGetFunction), ENTRY(cuFuncSetAttribute),
    ENTRY(cuGetErrorName), ENTRY(cuLaunchKernel),
};

int cuGetProcAddress_v2(const char* name, void** address, int version, uint64_t flags, int* found) {
    *address = 0;
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].name, name)) *address = table[i].address;
    if (found) *found = *address ? 0 : 1;
    return *address ? 0 : NOT_FOUND;
}
