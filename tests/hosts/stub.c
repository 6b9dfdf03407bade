/* A libnvidia-ml.so.1 whose world is a text file, read anew at every call, so that a test changes it while it is read.

   The path is in $NVML_STUB_FILE; without one it is as if no driver were installed (error 12). Lines of the file:
     driver VERSION CUDA            e.g. driver 570.86.10 12080
     down                           the driver is installed and not running
     gpu UUID TOTAL USED UTIL TEMP MILLIWATTS MAJOR MINOR NAME    MiB, in order of index; a minus is "not supported"
     lost INDEX                     that GPU is lost
     slice INDEX UUID TOTAL USED NAME   a part (MIG device) of that GPU, in order; it tells its memory and no more
     holder INDEX PID MIB [SLICE]   MiB -1 is "not available"
     xid INDEX CODE                 an event, told once for every set that listens
     mig INDEX MODE, ecc INDEX COUNT
     hang                           every call waits until the line is gone                                        */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 16
#define SLICES 64
#define MIB 1048576ull
enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, SIZE = 7, DRIVER_DOWN = 9, TIMEOUT = 10, NO_LIBRARY = 12, LOST = 15 };

typedef struct { char uuid[96], name[96]; long long total, used, util, temp, power, major, minor, mig, ecc; int lost, whole; } Gpu;
typedef struct { int gpu, slice; unsigned pid; long long mib; } Process;
typedef struct { unsigned pid; unsigned long long bytes; unsigned gi, ci; } ProcessInfo;
typedef struct { void *device; unsigned long long type, data; unsigned gi, ci; } Event;

static Gpu gpus[MOST + SLICES]; /* whole ones, and from MOST on slices of them */
static Process holders[64];
static int gpu_count, slice_count, holder_count, down, xid_gpu[64], xid_code[64], xid_count, xids_told;
static char driver[80], handles[MOST + SLICES];
static int cuda;

static int load(void) {
    const char *path = getenv("NVML_STUB_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512];
    int hang = 0;
    if (!file) return NO_LIBRARY;
    gpu_count = slice_count = holder_count = down = xid_count = 0;
    while (fgets(line, sizeof line, file)) {
        Gpu *gpu = &gpus[gpu_count];
        int index;
        long long value;
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "gpu ", 4) && gpu_count < MOST) {
            int at = 0;
            memset(gpu, 0, sizeof *gpu);
            gpu->mig = gpu->ecc = -1;
            sscanf(line, "gpu %95s %lld %lld %lld %lld %lld %lld %lld %n", gpu->uuid, &gpu->total, &gpu->used, &gpu->util,
                   &gpu->temp, &gpu->power, &gpu->major, &gpu->minor, &at);
            snprintf(gpu->name, sizeof gpu->name, "%s", line + at);
            gpu_count++;
        } else if (!strncmp(line, "slice ", 6) && slice_count < SLICES) {
            int at = 0;
            gpu = &gpus[MOST + slice_count++];
            *gpu = (Gpu){.util = -1, .temp = -1, .power = -1, .major = -1, .mig = -1, .ecc = -1};
            sscanf(line, "slice %d %95s %lld %lld %n", &gpu->whole, gpu->uuid, &gpu->total, &gpu->used, &at);
            snprintf(gpu->name, sizeof gpu->name, "%s", line + at);
        } else if (sscanf(line, "driver %79s %d", driver, &cuda) == 2) {
        } else if (!strcmp(line, "down")) { down = 1;
        } else if (!strcmp(line, "hang")) { hang = 1;
        } else if (sscanf(line, "lost %d", &index) == 1) { gpus[index].lost = 1;
        } else if (sscanf(line, "mig %d %lld", &index, &value) == 2) { gpus[index].mig = value;
        } else if (sscanf(line, "ecc %d %lld", &index, &value) == 2) { gpus[index].ecc = value;
        } else if (sscanf(line, "xid %d %lld", &index, &value) == 2 && xid_count < 64) {
            xid_gpu[xid_count] = index;
            xid_code[xid_count++] = (int)value;
        } else if (!strncmp(line, "holder ", 7) && holder_count < 64) {
            Process *process = &holders[holder_count++];
            process->slice = -1;
            sscanf(line, "holder %d %u %lld %d", &process->gpu, &process->pid, &process->mib, &process->slice);
        }
    }
    fclose(file);
    if (hang) { usleep(50000); return load(); }
    return down ? DRIVER_DOWN : OK;
}

static int find(void *device, Gpu **gpu) {
    int code = load(), index = (int)((char *)device - handles);
    if (code) return code;
    if (index < 0 || index >= (index < MOST ? gpu_count : MOST + slice_count)) return INVALID;
    *gpu = &gpus[index];
    return (*gpu)->lost ? LOST : OK;
}

/* The n-th slice of a GPU, as its place among `gpus`; 0 if it has fewer. */
static int nth(const Gpu *gpu, int n) {
    for (int i = MOST; i < MOST + slice_count; i++)
        if (&gpus[gpus[i].whole] == gpu && n-- == 0) return i;
    return 0;
}

#define ASK(device) Gpu *gpu; int code = find(device, &gpu); if (code) return code
#define TELL(place, value) if ((value) < 0) return NOT_SUPPORTED; *(place) = (unsigned)(value); return OK

int nvmlInitWithFlags(unsigned flags) { (void)flags; return load(); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == DRIVER_DOWN ? "Driver Not Loaded" : "stub error"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { int c = load(); snprintf(text, size, "%s", driver); return c; }
int nvmlSystemGetCudaDriverVersion(int *version) { int code = load(); *version = cuda; return code; }
int nvmlDeviceGetCount_v2(unsigned *count) { int code = load(); *count = (unsigned)gpu_count; return code; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    int code = load();
    if (code) return code;
    if ((int)index >= gpu_count) return INVALID;
    *device = &handles[index];
    return gpus[index].lost ? LOST : OK;
}
int nvmlDeviceGetName(void *device, char *text, unsigned size) { ASK(device); snprintf(text, size, "%s", gpu->name); return OK; }
int nvmlDeviceGetUUID(void *device, char *text, unsigned size) { ASK(device); snprintf(text, size, "%s", gpu->uuid); return OK; }
int nvmlDeviceGetMemoryInfo_v2(void *device, unsigned long long *info) {
    ASK(device);
    if (gpu->total < 0) return NOT_SUPPORTED;
    info[1] = gpu->total * MIB; info[2] = 0; info[3] = (gpu->total - gpu->used) * MIB; info[4] = gpu->used * MIB;
    return OK;
}
int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *info) {
    ASK(device);
    if (gpu->total < 0) return NOT_SUPPORTED;
    info[0] = gpu->total * MIB; info[1] = (gpu->total - gpu->used) * MIB; info[2] = gpu->used * MIB;
    return OK;
}
int nvmlDeviceGetUtilizationRates(void *device, unsigned *rates) { ASK(device); rates[1] = 0; TELL(rates, gpu->util); }
int nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *out) { (void)sensor; ASK(device); TELL(out, gpu->temp); }
int nvmlDeviceGetPowerUsage(void *device, unsigned *out) { ASK(device); TELL(out, gpu->power); }
int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) {
    ASK(device);
    *minor = (int)gpu->minor;
    TELL(major, gpu->major);
}
int nvmlDeviceGetTotalEccErrors(void *device, unsigned type, unsigned counter, unsigned long long *out) {
    (void)type; (void)counter;
    ASK(device);
    TELL(out, gpu->ecc);
}
int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) { ASK(device); *pending = 0; TELL(current, gpu->mig); }
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count) { ASK(device); *count = gpu->mig < 0 ? 0 : 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned number, void **slice) {
    ASK(device);
    int found = nth(gpu, (int)number);
    *slice = &handles[found];
    return found ? OK : NOT_FOUND;
}

static int list(void *device, unsigned *room, ProcessInfo *out) {
    unsigned found = 0;
    ASK(device);
    if (gpu->util < 0 && gpu < &gpus[MOST]) return NOT_SUPPORTED; /* a vGPU tells neither its load nor its processes */
    for (int i = 0; i < holder_count; i++)
        if (&gpus[holders[i].gpu] == gpu || (holders[i].slice >= 0 && &gpus[nth(&gpus[holders[i].gpu], holders[i].slice)] == gpu)) {
            if (out && found < *room)
                out[found] = (ProcessInfo){holders[i].pid, holders[i].mib < 0 ? ~0ull : holders[i].mib * MIB, ~0u, ~0u};
            found++;
        }
    code = found > (out ? *room : 0) ? SIZE : OK;
    *room = found;
    return code;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned *room, ProcessInfo *out) { return list(d, room, out); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *d, unsigned *room, ProcessInfo *out) { return list(d, room, out); }

int nvmlEventSetCreate(void **set) { int code = load(); *set = &xids_told; xids_told = xid_count; return code; }
int nvmlEventSetFree(void *set) { (void)set; return OK; }
int nvmlDeviceRegisterEvents(void *device, unsigned long long types, void *set) { (void)types; (void)set; ASK(device); return OK; }
int nvmlEventSetWait_v2(void *set, Event *event, unsigned ms) {
    int code = load();
    (void)set; (void)ms;
    if (code) return code;
    if (xids_told >= xid_count) return TIMEOUT;
    *event = (Event){&handles[xid_gpu[xids_told]], 8, (unsigned long long)xid_code[xids_told], ~0u, ~0u};
    xids_told++;
    return OK;
}
