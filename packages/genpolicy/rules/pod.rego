# What a Kata guest may be asked to do for one pod. Whatever is not allowed here is refused.
#
# The rules are the same for every pod; what the pod is made of stands in policy_data at the end. A text there is the
# text itself, or {"pattern": P}: a regular expression for the whole of it, in which
#   $(sandbox)    is the sandbox's id
#   $(container)  is the id of the container that the request is about
#   $(hostname)   is the sandbox's hostname
#   $(pod)  $(namespace)  $(uid)  are the pod's name, namespace and uid, as its sandbox container gave them
#
# State, which requests leave for later ones (data.pstate):
#   sandbox   {"id", "hostname"}, from CreateSandbox
#   pod       {"name", "namespace", "uid"}, from the sandbox's own container; the same for all that follow
#   begun     names of the containers that have been started, in their order
#   ID        {"container": name} or {"sandbox": true}: what the container with this id is, until it is removed
package agent_policy

# ---- The sandbox

default CreateSandboxRequest := false

CreateSandboxRequest := {"allowed": true, "ops": ops} if {
	is_id(input.sandbox_id)
	first_or_same(input.sandbox_id)
	matches(policy_data.pod.hostname, input.hostname)
	every line in input.dns {
		regex.match(`^[A-Za-z0-9 .:_%/-]*$`, line)
	}
	input.sandbox_pidns == false
	input.guest_hook_path == ""
	input.kernel_modules == []
	every storage in input.storages {
		sandbox_storage(storage)
	}
	every expected in policy_data.pod.storages {
		storage_present(expected, input.storages)
	}
	count({storage.mount_point | some storage in input.storages}) == count(input.storages)
	ops := [
		{"op": "add", "path": "/pstate/sandbox", "value": {"id": input.sandbox_id, "hostname": input.hostname}},
		{"op": "add", "path": "/pstate/begun", "value": []},
	]
}

first_or_same(_) if {
	not data.pstate.sandbox
}

first_or_same(id) if {
	data.pstate.sandbox.id == id
	not data.pstate.pod
}

sandbox_storage(storage) if {
	some expected in policy_data.pod.storages
	storage_matches(expected, storage)
}

# ---- Containers

default CreateContainerRequest := false

CreateContainerRequest := {"allowed": true, "ops": ops} if {
	is_id(input.container_id)
	input.exec_id == input.container_id
	not data.pstate[input.container_id]
	annotations_allowed(input.OCI.Annotations)
	pod := pod_of(input.OCI.Annotations)
	place := requested
	container := place.policy
	same_pod(pod)
	in_order(container)
	request_allowed(container)
	process_allowed(container, input.OCI.Process)
	root_allowed(container)
	mounts_allowed(container, input.OCI.Mounts)
	storages_allowed(container, input.storages)
	linux_allowed(container, input.OCI.Linux)
	ops := [
		{"op": "add", "path": concat("", ["/pstate/", input.container_id]), "value": place.state},
		{"op": "add", "path": "/pstate/pod", "value": pod},
	]
}

# Whether a container is the sandbox's own is said twice, to Kata and to Kubernetes, and which one it is by its name.
requested := {"policy": policy_data.sandbox, "state": {"sandbox": true}} if {
	input.OCI.Annotations["io.katacontainers.pkg.oci.container_type"] == "pod_sandbox"
	input.OCI.Annotations["io.kubernetes.cri.container-type"] == "sandbox"
	input.container_id == data.pstate.sandbox.id
}

requested := {"policy": policy_data.containers[name], "state": {"container": name}} if {
	input.OCI.Annotations["io.katacontainers.pkg.oci.container_type"] == "pod_container"
	input.OCI.Annotations["io.kubernetes.cri.container-type"] == "container"
	input.container_id != data.pstate.sandbox.id
	name := input.OCI.Annotations["io.kubernetes.cri.container-name"]
	input.OCI.Annotations["io.kubernetes.container.terminationMessagePath"] == policy_data.containers[name].termination_log
}

# What containerd and Kata write for themselves, and what a pod tells Kata's runtime: nothing of it is an order to the
# guest. All others could be one, to it or to what runs its containers.
annotations_allowed(annotations) if {
	annotations["io.kubernetes.cri.sandbox-id"] == data.pstate.sandbox.id
	every key, _ in annotations {
		regex.match(`^(?:io\.kubernetes\.(?:cri|container)\.|io\.katacontainers\.(?:pkg\.oci|config)\.|nerdctl/)`, key)
	}
}

pod_of(annotations) := {
	"name": annotations["io.kubernetes.cri.sandbox-name"],
	"namespace": annotations["io.kubernetes.cri.sandbox-namespace"],
	"uid": annotations["io.kubernetes.cri.sandbox-uid"],
}

# The sandbox's container says which pod it is; a pod's hostname is its name as far as it fits, or given.
same_pod(pod) if {
	requested.state.sandbox
	not data.pstate.pod
	matches(policy_data.pod.name, pod.name)
	matches(policy_data.pod.namespace, pod.namespace)
	regex.match(`^[0-9a-f-]{1,36}$`, pod.uid)
	hostname_of(pod.name)
}

same_pod(pod) if {
	data.pstate.pod == pod
}

hostname_of(_) if {
	policy_data.pod.named_by_itself == false
}

hostname_of(name) if {
	startswith(name, data.pstate.sandbox.hostname)
	count(data.pstate.sandbox.hostname) >= min([count(name), 60])
}

# A container runs once at a time, after those that come before it (begun, and ended if they are to end), and, if it is to
# end itself, not beside those that come after it.
in_order(container) if {
	container.name == ""
}

in_order(container) if {
	not runs(container.name)
	every name in container.after {
		name in data.pstate.begun
	}
	every name in container.after_end_of {
		name in data.pstate.begun
		not_running(name)
	}
	every name in container.ends_before {
		not_running(name)
	}
}

runs(name) if {
	some running in data.pstate
	running.container == name
}

not_running(name) if {
	not runs(name)
}

# Parts of a request that a host under which guests pull their images has no use for.
request_allowed(container) if {
	is_null(input.string_user)
	input.devices == []
	input.shared_mounts == []
	input.sandbox_pidns == container.shared_pid
	input.stdin_port == 0
	input.stdout_port == 0
	input.stderr_port == 0
	is_null(input.OCI.Hooks)
	is_null(input.OCI.Solaris)
	is_null(input.OCI.Windows)
	input.OCI.Hostname in ["", data.pstate.sandbox.hostname]
}

# ---- Processes

# The guest runs its own program in the sandbox's container, whatever is asked for.
process_allowed(container, _) if {
	container.name == ""
}

process_allowed(container, process) if {
	container.name != ""
	args_match(container.args, process.Args)
	matches(container.cwd, process.Cwd)
	process.Terminal == container.tty
	capabilities_match(container, process.Capabilities)
	process_of(container, process)
}

# What a container's first process and those that join it have in common.
process_of(container, process) if {
	environment_allowed(container, process.Env)
	user_allowed(container, process.User)
	process.NoNewPrivileges == container.no_new_privileges
	process.Rlimits == []
	process.ApparmorProfile == ""
	process.SelinuxLabel == ""
	process.OOMScoreAdj >= -998
	process.OOMScoreAdj <= 1000
}

args_match(expected, args) if {
	count(expected) == count(args)
	every i, text in expected {
		matches(text, args[i])
	}
}

# Each variable is there once. All that the container has are there, and beside them such as clusters add.
environment_allowed(container, environment) if {
	names := {name | some entry in environment; name := split(entry, "=")[0]}
	count(names) == count(environment)
	every entry in container.env {
		entry in environment
	}
	others := [entry | some entry in environment; not entry in container.env]
	every expected in container.env_patterns {
		entry_present(expected, others)
	}
	every entry in others {
		entry_allowed(container, entry)
	}
}

entry_present(expected, environment) if {
	some entry in environment
	matches(expected, entry)
}

entry_allowed(container, entry) if {
	some expected in container.env_patterns
	matches(expected, entry)
} else if {
	some expected in policy_data.pod.env
	matches(expected, entry)
}

user_allowed(container, user) if {
	user.UID == container.user.uid
	user.GID == container.user.gid
	groups_allowed(container, user.AdditionalGids)
	user.Username == ""
}

groups_allowed(container, groups) if {
	some expected in container.user.groups
	same_set(expected, groups)
}

capabilities_match(container, capabilities) if {
	same_set(capabilities.Bounding, container.capabilities)
	same_set(capabilities.Effective, container.capabilities)
	same_set(capabilities.Permitted, container.capabilities)
	capabilities.Inheritable == []
	capabilities.Ambient == []
}

same_set(some_list, other_list) if {
	every one in some_list {
		one in other_list
	}
	every one in other_list {
		one in some_list
	}
}

# ---- File systems

root_allowed(container) if {
	input.OCI.Root.Path == concat("", ["/run/kata-containers/", input.container_id, "/rootfs"])
	input.OCI.Root.Readonly == container.readonly_root
}

mounts_allowed(container, mounts) if {
	every mount in mounts {
		mount_allowed(container, mount)
	}
	places := {mount.destination | some mount in mounts}
	every place, _ in container.mounts {
		place in places
	}
	at_one_place_each(mounts, places)
	every later, mount in mounts {
		not_hidden(mount, later, mounts)
	}
}

mount_allowed(container, mount) if {
	mount_matches(container.mounts[mount.destination], mount)
}

mount_allowed(container, mount) if {
	some expected in container.further_mounts
	expected.destination == mount.destination
	mount_matches(expected, mount)
}

mount_matches(expected, mount) if {
	mount.type_ == expected.type
	mount.options == expected.options
	matches(expected.source, mount.source)
}

# Two mounts at one place are the same mount.
at_one_place_each(mounts, places) if {
	count(mounts) == count(places)
} else if {
	distinct := {mount | some mount in mounts}
	count(distinct) == count(places)
}

# No mount comes before one that is above it, which would hide it.
not_hidden(mount, index, mounts) if {
	above := concat("", [mount.destination, "/"])
	hidden := [i | some i, earlier in mounts; i < index; startswith(earlier.destination, above)]
	hidden == []
}

# One image, pulled by the guest to where the container has its root; beside it the container's volumes.
storages_allowed(container, storages) if {
	pulls := [storage | some storage in storages; storage.driver == "image_guest_pull"]
	count(pulls) == 1
	every storage in storages {
		storage_allowed(container, storage)
	}
	every expected in container.storages {
		storage_present(expected, storages)
	}
	count({storage.mount_point | some storage in storages}) == count(storages)
}

storage_allowed(container, storage) if {
	storage.driver == "image_guest_pull"
	storage.source in container.images
	storage.fstype == "overlay"
	storage.options == []
	storage.mount_point == input.OCI.Root.Path
	storage.shared == false
	is_null(storage.fs_group)
	count(storage.driver_options) == 1
	pull_option(storage.driver_options[0])
}

storage_allowed(container, storage) if {
	some expected in container.storages
	storage_matches(expected, storage)
}

# The option repeats the annotations, and says nothing else.
pull_option(option) if {
	startswith(option, "image_guest_pull={")
	json.unmarshal(trim_prefix(option, "image_guest_pull=")) == {"metadata": input.OCI.Annotations}
}

storage_present(expected, storages) if {
	some storage in storages
	storage_matches(expected, storage)
}

storage_matches(expected, storage) if {
	storage.driver == expected.driver
	storage.driver_options == []
	storage.source == expected.source
	storage.fstype == expected.fstype
	matches(expected.mount_point, storage.mount_point)
	storage.shared == false
	is_null(storage.fs_group)
	every option in expected.options {
		option in storage.options
	}
	every option in storage.options {
		option_allowed(expected, option)
	}
}

option_allowed(expected, option) if {
	option in expected.options
}

option_allowed(expected, option) if {
	some text in expected.further_options
	matches(text, option)
}

# ---- The kernel's part

linux_allowed(container, linux) if {
	same_set([namespace.Type | some namespace in linux.Namespaces], ["ipc", "uts", "mount"])
	count(linux.Namespaces) == 3
	every namespace in linux.Namespaces {
		namespace.Path == ""
	}
	linux.UIDMappings == []
	linux.GIDMappings == []
	linux.Devices == []
	is_null(linux.Seccomp)
	is_null(linux.IntelRdt)
	linux.RootfsPropagation == ""
	linux.MountLabel == ""
	every path in container.masked_paths {
		path in linux.MaskedPaths
	}
	others := [path | some path in linux.MaskedPaths; not path in container.masked_paths]
	every path in others {
		path_maskable(container, path)
	}
	same_set(linux.ReadonlyPaths, container.readonly_paths)
	sysctls_allowed(container, linux.Sysctl)
	resources_allowed(linux.Resources)
	cgroup_allowed(linux.CgroupsPath)
}

path_maskable(container, path) if {
	some expected in container.further_masked_paths
	matches(expected, path)
}

sysctls_allowed(container, sysctls) if {
	every name, value in sysctls {
		sysctl_allowed(container, name, value)
	}
	every name, value in container.sysctls {
		sysctls[name] == value
	}
}

sysctl_allowed(container, name, value) if {
	container.sysctls[name] == value
}

sysctl_allowed(container, name, value) if {
	container.further_sysctls[name] == value
}

# How much of processors and memory there is, the host decides anyway.
resources_allowed(resources) if {
	is_null(resources)
}

resources_allowed(resources) if {
	resources.Devices == []
	is_null(resources.Network)
	is_null(resources.BlockIO)
}

cgroup_allowed(path) if {
	regex.match(filled(`^[A-Za-z0-9_./:-]*[/:-]$(container)(?:\.scope)?$`), path)
	not contains(path, "..")
}

# ---- What was pulled: the agent asks this itself, before it makes a container of it

default PulledImageRequest := false

PulledImageRequest if {
	container := policy_data.containers[data.pstate[input.container_id].container]
	input.image in container.images
	input.manifest_digest in container.manifest_digests
}

# ---- A container's life

lives if {
	data.pstate[input.container_id]
	is_id(input.container_id)
}

asked_container := policy_data.containers[data.pstate[input.container_id].container] if {
	is_id(input.container_id)
}

default StartContainerRequest := false

StartContainerRequest := {"allowed": true, "ops": begin_ops(data.pstate[input.container_id])} if {
	lives
}

begin_ops(place) := [] if {
	place.sandbox
}

begin_ops(place) := [] if {
	place.container in data.pstate.begun
}

begin_ops(place) := [{"op": "add", "path": "/pstate/begun/-", "value": place.container}] if {
	not place.container in data.pstate.begun
}

# Its id, and its place in the pod, are free again when it is gone.
default RemoveContainerRequest := true

RemoveContainerRequest := {"allowed": true, "ops": [{"op": "remove", "path": path}]} if {
	lives
	path := concat("", ["/pstate/", input.container_id])
}

default SignalProcessRequest := false

SignalProcessRequest if {
	input.signal in policy_data.pod.signals
	lives
}

SignalProcessRequest if {
	input.signal in asked_container.signals
}

default WaitProcessRequest := true

default StatsContainerRequest := true

default TtyWinResizeRequest := true

default UpdateContainerRequest := false

default PauseContainerRequest := false

default ResumeContainerRequest := false

# ---- Processes in a running container

default ExecProcessRequest := false

ExecProcessRequest if {
	container := asked_container
	some command in container.exec
	args_match(command, input.process.Args)
	input.process.Terminal == false
	joins(container)
}

ExecProcessRequest if {
	container := asked_container
	input.process.Args in policy_data.pod.exec
	joins(container)
}

joins(container) if {
	is_null(input.string_user)
	input.stdin_port == 0
	input.stdout_port == 0
	input.stderr_port == 0
	matches(container.cwd, input.process.Cwd)
	capabilities_of_exec(container, input.process.Capabilities)
	process_of(container, input.process)
}

# Without any, they are the container's.
capabilities_of_exec(_, capabilities) if {
	is_null(capabilities)
}

capabilities_of_exec(container, capabilities) if {
	capabilities_match(container, capabilities)
}

# What a process reads is part of what it does.
default WriteStreamRequest := false

WriteStreamRequest if {
	stdin_allowed
}

default CloseStdinRequest := false

CloseStdinRequest if {
	stdin_allowed
}

stdin_allowed if {
	asked_container.stdin
	input.exec_id == input.container_id
}

# A process without a name is the container's own, too. CreateContainer gives it no other name than the container's.
stdin_allowed if {
	policy_data.pod.exec_stdin
	not input.exec_id in ["", input.container_id]
	lives
}

# What is not allowed is read all the same and thrown away: a process must not stop at a full pipe.
default ReadStreamRequest := false

ReadStreamRequest if {
	policy_data.pod.logs
	lives
}

default GetDiagnosticDataRequest := false

GetDiagnosticDataRequest if {
	policy_data.pod.logs
	input.log_type == "termination_log"
	lives
}

# ---- Files that the host hands in: what is in them is the host's, so only their places are the policy's to say

default CopyFileRequest := false

CopyFileRequest if {
	input.file_type in ["Regular", "Directory"]
	file_allowed(input.path)
}

# A volume of Kubernetes is a folder of links into another one that is replaced as a whole.
CopyFileRequest if {
	input.file_type == "Symlink"
	file_allowed(input.path)
	not startswith(input.symlink_target, "/")
	no_way_up(input.symlink_target)
}

file_allowed(path) if {
	no_way_up(path)
	some file in policy_data.pod.files
	matches(file, path)
}

no_way_up(path) if {
	every part in split(path, "/") {
		part != ".."
		part != "."
	}
}

# ---- The network, which is the host's but for the loopback

# The agent looks for an interface by its hardware address. That of the loopback is all zeros.
default UpdateInterfaceRequest := false

UpdateInterfaceRequest if {
	regex.match(`^[a-z][A-Za-z0-9._-]{0,14}$`, input.interface.name)
	input.interface.name != "lo"
	input.interface.device != "lo"
	regex.match(`^(?:(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2})?$`, input.interface.hwAddr)
	input.interface.hwAddr != "00:00:00:00:00:00"
	every address in input.interface.IPAddresses {
		not_loopback(address.address)
	}
}

default UpdateRoutesRequest := false

UpdateRoutesRequest if {
	every route in input.routes.Routes {
		route.device != "lo"
		not_loopback(route.dest)
		not_loopback(route.source)
		not_loopback(route.gateway)
	}
}

default AddARPNeighborsRequest := false

AddARPNeighborsRequest if {
	every neighbor in input.neighbors.ARPNeighbors {
		neighbor.device != "lo"
		not_loopback(neighbor.toIPAddress.address)
	}
}

not_loopback(address) if {
	not regex.match(`^(?:127\.|[0:]*:0*1(?:/|$)|[0:]*:ffff:(?:127\.|7f))`, lower(address))
}

# ---- The guest as a whole

default DestroySandboxRequest := true

default GuestDetailsRequest := true

default GetOOMEventRequest := true

default OnlineCPUMemRequest := true

default RemoveStaleVirtiofsShareMountsRequest := true

default AddSwapRequest := false

default AddSwapPathRequest := false

default GetIPTablesRequest := false

default GetMetricsRequest := false

default ListInterfacesRequest := false

default ListRoutesRequest := false

default MemAgentCompactConfig := false

default MemAgentMemcgConfig := false

default MemHotplugByProbeRequest := false

default ReseedRandomDevRequest := false

default ResizeVolumeRequest := false

default SetGuestDateTimeRequest := false

default SetIPTablesRequest := false

default UpdateEphemeralMountsRequest := false

default VolumeStatsRequest := false

# Whoever may replace the policy may do anything.
default SetPolicyRequest := false

# A request that the rules do not understand is not allowed.
default AllowRequestsFailingPolicy := false

# ---- Texts

is_id(text) if {
	regex.match(`^[0-9a-f]{64}$`, text)
}

matches(expected, text) if {
	expected == text
}

matches(expected, text) if {
	regex.match(filled(concat("", ["^(?:", expected.pattern, ")$"])), text)
}

# The pattern with what is known put in its place. What is not known yet matches nothing.
filled(pattern) := pattern if {
	not contains(pattern, "$(")
}

filled(pattern) := whole if {
	contains(pattern, "$(")
	of_host := replace(pattern, "$(hostname)", replace(hostname, ".", `\.`))
	of_sandbox := replace(of_host, "$(sandbox)", sandbox_id)
	of_container := replace(of_sandbox, "$(container)", container_id)
	of_name := replace(of_container, "$(pod)", replace(pod_name, ".", `\.`))
	of_namespace := replace(of_name, "$(namespace)", pod_namespace)
	whole := replace(of_namespace, "$(uid)", pod_uid)
}

default sandbox_id := `[^\s\S]`

sandbox_id := data.pstate.sandbox.id

default hostname := `[^\s\S]`

hostname := data.pstate.sandbox.hostname

default container_id := `[^\s\S]`

container_id := input.container_id if {
	is_id(input.container_id)
}

default pod_name := `[^\s\S]`

pod_name := data.pstate.pod.name

default pod_namespace := `[^\s\S]`

pod_namespace := data.pstate.pod.namespace

default pod_uid := `[^\s\S]`

pod_uid := data.pstate.pod.uid
