// NVIDIA's library as far as the attester calls it, for one GPU; structures and signatures are those of nvml.h.
#include <string.h>

struct report {
  unsigned cec_present, size, cec_size;
  unsigned char nonce[32], report[0x2000], cec[0x1000];
};
struct certificate {
  unsigned size, attestation_size;
  unsigned char chain[0x1000], attestation[0x1400];
};
struct state {
  unsigned environment, feature, developer;
};

static int gpu;

int nvmlInit_v2(void) { return 0; }
int nvmlSystemGetConfComputeState(struct state *state) {
  *state = (struct state){.environment = 1, .feature = 1};
  return 0;
}
int nvmlDeviceGetCount_v2(unsigned *count) {
  *count = 1;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
  *device = &gpu;
  return index == 0 ? 0 : 2;
}
int nvmlDeviceGetArchitecture(void *device, unsigned *architecture) {
  *architecture = device == &gpu ? 9 : 0;
  return 0;
}
int nvmlDeviceGetUUID(void *device, char *uuid, unsigned length) {
  (void)device;
  strncpy(uuid, "GPU-11111111-2222-3333-4444-555555555555", length);
  return 0;
}
int nvmlDeviceGetConfComputeGpuAttestationReport(void *device, struct report *report) {
  if (device != &gpu) return 2;
  report->size = 40;
  memcpy(report->report, report->nonce, 32);
  memcpy(report->report + 32, "a report", 8);
  return 0;
}
int nvmlDeviceGetConfComputeGpuCertificate(void *device, struct certificate *certificate) {
  if (device != &gpu) return 2;
  certificate->size = 5;
  memcpy(certificate->chain, "other", 5);
  certificate->attestation_size = 7;
  memcpy(certificate->attestation, "a chain", 7);
  return 0;
}
