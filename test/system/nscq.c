// NVIDIA's library about switches as far as the attester calls it, for two of which one is trusted; structures and
// signatures are those of nscq.h.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct session {
  unsigned char nonce[32];
};
struct session_result {
  int8_t rc;
  struct session *session;
};
struct uuid {
  uint8_t bytes[16];
};
struct report {
  uint32_t size;
  uint8_t bytes[0x2000];
};
struct chain {
  uint8_t bytes[0x1400];
  uint32_t size;
};

typedef void (*uuid_callback)(const struct uuid *, int8_t, const struct uuid *, void *);
typedef void (*number_callback)(const struct uuid *, int8_t, int8_t, void *);
typedef void (*report_callback)(const struct uuid *, int8_t, const struct report, void *);
typedef void (*chain_callback)(const struct uuid *, int8_t, const struct chain, void *);

static struct session only;
static const struct uuid first = {{1}}, second = {{2}};

struct session_result nscq_session_create(uint32_t flags) {
  // A warning, as where one service of several is not there.
  return (struct session_result){.rc = flags == 1 ? 1 : -1, .session = &only};
}

int8_t nscq_uuid_to_label(const struct uuid *uuid, char label[64], uint32_t flags) {
  (void)flags;
  snprintf(label, 64, "SWX-%02X", uuid->bytes[0]);
  return 0;
}

int8_t nscq_session_set_input(struct session *session, uint32_t flags, void *input, uint32_t size) {
  if (session != &only || flags != 0 || size != 32) return -5;
  memcpy(session->nonce, input, size);
  return 0;
}

int8_t nscq_session_path_observe(struct session *session, const char *path, void (*callback)(void), void *user,
                                 uint32_t flags) {
  if (session != &only || flags != 0) return -5;
  if (strcmp(path, "/drv/nvswitch/{device}/uuid") == 0) {
    ((uuid_callback)callback)(&first, 0, &first, user);
    ((uuid_callback)callback)(&second, 0, &second, user);
  } else if (strcmp(path, "/SWX-01/config/pcie_mode") == 0) {
    ((number_callback)callback)(&first, 0, 0, user);
  } else if (strcmp(path, "/SWX-02/config/pcie_mode") == 0) {
    ((number_callback)callback)(&second, 0, 3, user);
  } else if (strcmp(path, "/{nvswitch}/id/arch") == 0) {
    ((number_callback)callback)(&second, 0, 2, user);
  } else if (strcmp(path, "/SWX-02/config/attestation_report") == 0) {
    struct report report = {.size = 40};
    memcpy(report.bytes, session->nonce, 32);
    memcpy(report.bytes + 32, "a report", 8);
    ((report_callback)callback)(&second, 0, report, user);
  } else if (strcmp(path, "/SWX-02/config/certificate") == 0) {
    struct chain chain = {.size = 7};
    memcpy(chain.bytes, "a chain", 7);
    ((chain_callback)callback)(&second, 0, chain, user);
  } else if (strcmp(path, "/SWX-01/config/attestation_report") == 0) {
    struct report none = {0};
    ((report_callback)callback)(&first, -7, none, user);
  } else {
    return -3;
  }
  return 0;
}
