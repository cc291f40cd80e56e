# Rules in the way of generated ones: loops over the pod's containers, patterns for variables, mounts and storages, state.
package agent_policy

default AllowRequestsFailingPolicy := false

default CreateSandboxRequest := false

CreateSandboxRequest := {"allowed": true, "ops": ops} if {
	not data.pstate.sandbox
	regex.match(policy_data.pod.hostname_pattern, input.hostname)
	input.guest_hook_path == ""
	input.kernel_modules == []
	every storage in input.storages {
		some expected in policy_data.pod.storages
		storage.driver == expected.driver
		storage.fstype == expected.fstype
		storage.source == expected.source
		storage.mount_point == expected.mount_point
		every option in storage.options {
			whole(expected.option_pattern, option)
		}
	}
	ops := [{"op": "add", "path": "/pstate/sandbox", "value": {"id": input.sandbox_id}}]
}

default CreateContainerRequest := false

CreateContainerRequest := {"allowed": true, "ops": ops} if {
	print("container", input.container_id)
	regex.match("^[0-9a-f]{64}$", input.container_id)
	not data.pstate[input.container_id]
	some name, expected in policy_data.containers
	print("is it", name)
	named(name)
	sandbox_allowed
	is_null(input.OCI.Hooks)
	is_null(input.OCI.Solaris)
	is_null(input.OCI.Windows)
	input.devices == []
	input.OCI.Root.Readonly == expected.readonly_root
	input.OCI.Root.Path == concat("", ["/run/kata-containers/", input.container_id, "/rootfs"])
	process_allowed(expected, input.OCI.Process)
	mounts_allowed(expected)
	storages_allowed(expected)
	linux_allowed(expected)
	ops := [{"op": "add", "path": concat("/", ["/pstate", input.container_id]), "value": name}]
}

# A container's name is said by Kubernetes; the sandbox's own has none.
named("pause") if {
	input.OCI.Annotations["io.kubernetes.cri.container-type"] == "sandbox"
	input.OCI.Annotations["io.katacontainers.pkg.oci.container_type"] == "pod_sandbox"
}

named(name) if {
	input.OCI.Annotations["io.kubernetes.cri.container-type"] == "container"
	input.OCI.Annotations["io.katacontainers.pkg.oci.container_type"] == "pod_container"
	input.OCI.Annotations["io.kubernetes.cri.container-name"] == name
}

sandbox_allowed if {
	annotations := input.OCI.Annotations
	annotations["io.kubernetes.cri.sandbox-id"] == data.pstate.sandbox.id
	whole(policy_data.pod.name_pattern, annotations["io.kubernetes.cri.sandbox-name"])
	whole(policy_data.pod.namespace_pattern, annotations["io.kubernetes.cri.sandbox-namespace"])
	every key, value in annotations {
		regex.match(`^io\.(?:kubernetes\.cri|katacontainers\.pkg\.oci)\.[a-z_.-]+$`, key)
		count(value) < 4096
	}
}

process_allowed(expected, process) if {
	process.Args == expected.args
	process.Cwd == expected.cwd
	process.Terminal == expected.terminal
	process.NoNewPrivileges == expected.no_new_privileges
	process.User.UID == expected.user.uid
	process.User.GID == expected.user.gid
	process.ApparmorProfile == ""
	process.SelinuxLabel == ""
	process.Rlimits == []
	every text in process.Env {
		variable_allowed(expected, text)
	}
	every text in expected.env {
		text in process.Env
	}
	every set in [process.Capabilities.Bounding, process.Capabilities.Effective, process.Capabilities.Permitted] {
		{c | some c in set} == {c | some c in expected.capabilities}
	}
}

variable_allowed(expected, text) if text in expected.env

variable_allowed(expected, text) if {
	some pattern in expected.env_patterns
	whole(pattern, text)
}

variable_allowed(_, text) if {
	some pattern in policy_data.pod.env_patterns
	whole(pattern, text)
}

mounts_allowed(expected) if {
	count(input.OCI.Mounts) == count(expected.mounts)
	every mount in input.OCI.Mounts {
		some known in expected.mounts
		mount.destination == known.destination
		mount.type_ == known.type
		mount.options == known.options
		whole(replace(known.source_pattern, "$(container)", input.container_id), mount.source)
	}
}

storages_allowed(expected) if {
	every storage in input.storages {
		storage.driver == "image_guest_pull"
		storage.source == expected.image
		storage.mount_point == input.OCI.Root.Path
		storage.options == []
		count(storage.driver_options) == 1
		startswith(storage.driver_options[0], "image_guest_pull=")
	}
}

linux_allowed(expected) if {
	linux := input.OCI.Linux
	linux.Sysctl == expected.sysctls
	is_null(linux.Seccomp)
	linux.Devices == []
	{p | some p in linux.MaskedPaths} == {p | some p in expected.masked_paths}
	{p | some p in linux.ReadonlyPaths} == {p | some p in expected.readonly_paths}
	every namespace in linux.Namespaces {
		namespace.Type in {"ipc", "uts", "mount"}
		namespace.Path == ""
	}
}

whole(pattern, text) if regex.match(concat("", ["^(?:", pattern, ")$"]), text)

default CopyFileRequest := false

CopyFileRequest if {
	some pattern in policy_data.pod.file_patterns
	whole(pattern, input.path)
	not contains(input.path, "..")
}

default ExecProcessRequest := false

ExecProcessRequest if {
	expected := policy_data.containers[data.pstate[input.container_id]]
	some args in expected.exec
	input.process.Args == args
}

default StartContainerRequest := false

StartContainerRequest if data.pstate[input.container_id]

default RemoveContainerRequest := false

RemoveContainerRequest := {"allowed": true, "ops": [{"op": "remove", "path": path}]} if {
	data.pstate[input.container_id]
	path := concat("/", ["/pstate", input.container_id])
}

default WaitProcessRequest := true

default StatsContainerRequest := true

default DestroySandboxRequest := true

default GetOOMEventRequest := true

default GuestDetailsRequest := true
