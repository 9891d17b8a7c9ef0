// libnccl.so.2 for a machine without GPUs: it writes down how it is called, and does nothing.
// The declarations are those of nccl.h, as far as CuPy's cupy_backends.cuda.libs.nccl needs them.

#include <cstddef>
#include <sstream>
#include <string>

namespace {
std::ostringstream calls;

const char* text_of(void* communicator) { return communicator == (void*)1 ? "" : " of another"; }
}  // namespace

extern "C" {
struct ncclUniqueId {
    char internal[128];
};

const char* null_nccl_calls() {
    static std::string told;
    told = calls.str();
    calls.str("");
    return told.c_str();
}

int ncclGetUniqueId(ncclUniqueId* id) {
    for (int i = 0; i < 128; i++) id->internal[i] = (char)(i % 7 == 3 ? 0 : 250 - i);
    return 0;
}
int ncclCommInitRankConfig(void** communicator, int size, ncclUniqueId id, int rank, void*) {
    ncclUniqueId expected;
    ncclGetUniqueId(&expected);
    std::string a(id.internal, 128), b(expected.internal, 128);
    calls << "init " << size << " " << rank << (a == b ? "" : " with another id") << "\n";
    *communicator = (void*)1;
    return 0;
}
int ncclAllReduce(const void* from, void* to, size_t count, int type, int op, void* c, void* s) {
    calls << "allReduce " << from << " " << to << " " << count << " " << type << " " << op << " "
          << (size_t)s << text_of(c) << "\n";
    return 0;
}
int ncclBroadcast(const void* from, void* to, size_t count, int type, int root, void* c, void* s) {
    calls << "broadcast " << from << " " << to << " " << count << " " << type << " " << root << " "
          << (size_t)s << text_of(c) << "\n";
    return 0;
}
int ncclSend(const void* from, size_t count, int type, int peer, void* c, void* s) {
    calls << "send " << from << " " << count << " " << type << " " << peer << " " << (size_t)s
          << text_of(c) << "\n";
    return 0;
}
int ncclRecv(void* to, size_t count, int type, int peer, void* c, void* s) {
    calls << "recv " << to << " " << count << " " << type << " " << peer << " " << (size_t)s
          << text_of(c) << "\n";
    return 0;
}
int ncclGroupStart() {
    calls << "groupStart\n";
    return 0;
}
int ncclGroupEnd() {
    calls << "groupEnd\n";
    return 0;
}
int ncclCommGetAsyncError(void*, int* error) { return *error = 0; }
int ncclCommDestroy(void*) {
    calls << "destroy\n";
    return 0;
}
const char* ncclGetErrorString(int) { return "an error"; }

// What CuPy links, and minigrad does not call: 5 is ncclInvalidUsage.
int ncclAllGather() { return 5; }
int ncclBcast() { return 5; }
int ncclCommAbort() { return 5; }
int ncclCommCount() { return 5; }
int ncclCommCuDevice() { return 5; }
int ncclCommInitAll() { return 5; }
int ncclCommSplit() { return 5; }
int ncclCommUserRank() { return 5; }
int ncclGetVersion() { return 5; }
int ncclReduce() { return 5; }
int ncclReduceScatter() { return 5; }
}
