# The demo's policy: containers of the demo's own image, and of all execs only /bin/echo.
package agent_policy

default AllowRequestsFailingPolicy := false
default CreateContainerRequest := false
default CreateSandboxRequest := true
default DestroySandboxRequest := true
default ExecProcessRequest := false
default ReadStreamRequest := true
default RemoveContainerRequest := true
default SetPolicyRequest := false
default SignalProcessRequest := true
default StartContainerRequest := true
default WaitProcessRequest := true

pulls := [storage.source | some storage in input.storages; storage.driver == "image_guest_pull"]

CreateContainerRequest if pulls == ["pause"]

CreateContainerRequest if {
  count(pulls) == 1
  endswith(pulls[0], "/demo/busybox:latest")
}

ExecProcessRequest if input.process.Args[0] == "/bin/echo"

ExecProcessRequest if {
  print("only /bin/echo may be run, not", input.process.Args[0])
  false
}
