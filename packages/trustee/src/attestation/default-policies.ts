/** Policies that are there until an administrator sets others: what each class of devices must show (spec trustee 2.3). */
export const DEFAULT_ATTESTATION_POLICIES: Readonly<Record<string, string>> = {
  default_cpu: cpu(),
  default_gpu: device(
    "gpu",
    'input.nvidia["x-nvidia-gpu-driver-version"] in query_reference_value("allowed_driver_versions")',
    ["driver", "vbios"],
  ),
  default_switch: device("switch", "true", ["bios"]),
  default_ppcie: vector({ configuration: 2, executables: 0, hardware: 0 }),
};

/**
 * The claims of AR4SI with what stands when no rule says more: executables 33, hardware 97 and configuration 36 mean that
 * they are not recognised, or not to be seen.
 */
function vector(defaults: Readonly<Record<"configuration" | "executables" | "hardware", number>>): string {
  return `package policy

import rego.v1

default configuration := ${defaults.configuration}

default executables := ${defaults.executables}

default hardware := ${defaults.hardware}

trust_claims := {
	"configuration": configuration,
	"executables": executables,
	"hardware": hardware,
	"file-system": 0,
	"instance-identity": 0,
	"runtime-opaque": 0,
	"sourced-data": 0,
	"storage-opaque": 0,
}
`;
}

/** Rules for machines: a value is accepted when the reference value of that name lists it, or is it. */
function cpu(): string {
  return `${vector({ configuration: 36, executables: 33, hardware: 97 })}
listed(value, name) if value in query_reference_value(name)

same(value, name) if value == query_reference_value(name)

# Sample evidence proves nothing; its rules are for tests of the way.
executables := 3 if listed(input.sample.launch_digest, "launch_digest")

hardware := 2 if {
	listed(input.sample.svn, "svn")
	same(input.sample.platform_version.major, "major_version")
	input.sample.platform_version.minor >= query_reference_value("minimum_minor_version")
}

configuration := 2 if input.sample.debug == false

# AMD SEV-SNP
executables := 3 if listed(input.snp.measurement, "snp_launch_measurement")

hardware := 2 if {
	listed(input.snp.reported_tcb_bootloader, "snp_bootloader")
	listed(input.snp.reported_tcb_microcode, "snp_microcode")
	listed(input.snp.reported_tcb_snp, "snp_snp_svn")
	listed(input.snp.reported_tcb_tee, "snp_tee_svn")
}

snp_closed if {
	input.snp.policy_debug_allowed == false
	input.snp.policy_migrate_ma == false
}

configuration := 2 if {
	snp_closed
	same(input.snp.platform_smt_enabled, "snp_smt_enabled")
	same(input.snp.platform_tsme_enabled, "snp_tsme_enabled")
	same(input.snp.policy_abi_major, "snp_guest_abi_major")
	same(input.snp.policy_abi_minor, "snp_guest_abi_minor")
	same(input.snp.policy_single_socket, "snp_single_socket")
	same(input.snp.policy_smt_allowed, "snp_smt_allowed")
} else := 3 if {
	snp_closed
}

# Intel TDX
tdx_registers if {
	listed(input.tdx.quote.body.rtmr_1, "rtmr_1")
	listed(input.tdx.quote.body.rtmr_2, "rtmr_2")
}

tdx_kernel if {
	some event in input.tdx.uefi_event_logs
	event.type_name == "EV_EFI_BOOT_SERVICES_APPLICATION"
	"File(kernel)" in event.details.device_paths
	some entry in event.digests
	same(entry.digest, "tdvfkernel")
}

tdx_command_line if {
	some event in input.tdx.uefi_event_logs
	event.type_name == "EV_EVENT_TAG"
	event.details.string == "LOADED_IMAGE::LoadOptions"
	some entry in event.digests
	same(entry.digest, "tdvfkernelparams")
}

executables := 3 if {
	tdx_registers
	tdx_kernel
	tdx_command_line
} else := 4 if {
	# A boot loader measures kernel and command line in its own events.
	tdx_registers
}

intel_quote(quote) if {
	quote.header.tee_type == "81000000"
	quote.header.vendor_id == "939a7233f79c4ca9940a0db3957f0607"
	listed(quote.body.mr_td, "mr_td")
}

hardware := 2 if {
	intel_quote(input.tdx.quote)
	input.tdx.tcb_status == "UpToDate"
	input.tdx.collateral_expiration_status == "0"
}

configuration := 2 if {
	input.tdx.td_attributes.debug == false
	listed(input.tdx.quote.body.xfam, "xfam")
}

# Azure, SNP behind a paravisor
az_snp := input["az-snp-vtpm"]

executables := 3 if {
	listed(az_snp.measurement, "measurement")
	listed(az_snp.tpm.pcr11, "snp_pcr11")
}

hardware := 2 if {
	listed(az_snp.reported_tcb_bootloader, "tcb_bootloader")
	listed(az_snp.reported_tcb_microcode, "tcb_microcode")
	listed(az_snp.reported_tcb_snp, "tcb_snp")
	listed(az_snp.reported_tcb_tee, "tcb_tee")
}

configuration := 2 if {
	listed(az_snp.platform_smt_enabled, "smt_enabled")
	listed(az_snp.platform_tsme_enabled, "tsme_enabled")
	listed(az_snp.policy_abi_major, "abi_major")
	listed(az_snp.policy_abi_minor, "abi_minor")
	listed(az_snp.policy_single_socket, "single_socket")
	listed(az_snp.policy_smt_allowed, "smt_allowed")
}

# A TPM alone: the hardware is whatever holds the attestation key, and that must be one to trust.
hardware := 2 if input.tpm

executables := 3 if {
	listed(input.tpm.pcr11, "tpm_pcr11")
	listed(input.tpm.ak_public, "trusted_aks")
	tpm_command_line
	every register in ["04", "08", "09"] {
		tpm_register(register)
	}
}

# A command line that a host gives in place of the image's shows in register 12, not in 11; without one that is zero.
tpm_command_line if listed(input.tpm.pcr12, "tpm_pcr12")

tpm_command_line if {
	query_reference_value("tpm_pcr12") == null
	input.tpm.pcr12 == "${"00".repeat(32)}"
}

# What runs, initdata, and what the kernel was given: each as expected where somebody said what to expect.
tpm_register(register) if query_reference_value(concat("", ["tpm_pcr", register])) == null

tpm_register(register) if {
	listed(input.tpm[concat("", ["pcr", register])], concat("", ["tpm_pcr", register]))
}

configuration := 0 if input.tpm

# What a guest may run, from the policy in its initdata.
containers := input.init_data_claims.agent_policy_claims.containers

image_names := [name | some container in containers; name := container.OCI.Annotations["io.kubernetes.cri.image-name"]]

user_ids := [id | some container in containers; id := container.OCI.Process.User.UID]

default images := {}

images := {"container_images": image_names} if count(image_names) > 0

default users := {}

users := {"container_uids": user_ids} if count(user_ids) > 0

extensions := [{
	"name": "ear.trustee.identifiers",
	"key": -18,
	"value": {"validated": object.union(images, users)},
}]
`;
}

/** Rules for NVIDIA's devices, over the claims of its attestation service. */
function device(kind: string, versions: string, rims: readonly string[]): string {
  const bios = kind === "gpu" ? "vbios" : "bios";
  const allowed = kind === "gpu" ? "allowed_vbios_versions" : "allowed_switch_bios_versions";
  const version = `x-nvidia-${kind}-${bios}-version`;
  const checks = ["fetched", "measurements-available", "schema-validated", "signature-verified", "version-match"];
  const rimRules = rims.flatMap((rim) =>
    checks.map((check) => `\tinput.nvidia["x-nvidia-${kind}-${rim}-rim-${check}"]`),
  );
  return `${vector({ configuration: 36, executables: 33, hardware: 97 })}
good(chain) if {
	chain["x-nvidia-cert-ocsp-status"] == "good"
	chain["x-nvidia-cert-status"] == "valid"
}

hardware := 2 if {
	good(input.nvidia["x-nvidia-${kind}-attestation-report-cert-chain"])
	input.nvidia["x-nvidia-${kind}-attestation-report-cert-chain-fwid-match"]
	input.nvidia["x-nvidia-${kind}-attestation-report-parsed"]
	input.nvidia["x-nvidia-${kind}-attestation-report-signature-verified"]
	input.nvidia["x-nvidia-${kind}-arch-check"]
}

closed if {
	input.nvidia.secboot
	input.nvidia.dbgstat == "disabled"
}

configuration := 2 if {
	closed
	input.nvidia["${version}"] in query_reference_value("${allowed}")
	${versions}
} else := 3 if {
	closed
}

executables := 3 if {
	good(input.nvidia["x-nvidia-${kind}-${bios}-rim-cert-chain"])
${rimRules.join("\n")}
	input.nvidia.measres == "success"
}
`;
}
