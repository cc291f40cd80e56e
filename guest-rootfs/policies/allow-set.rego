# Nothing but a first SetPolicy: for guests whose host sends the policy that it wants to be held to.
package agent_policy

default SetPolicyRequest := true
