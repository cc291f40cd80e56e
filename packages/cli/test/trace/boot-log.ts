/** The log of a small boot, as a simulated guest writes it. */
export const BOOT_LOG = `nacre event 9.900000+0.050000 supervisor.node
NVRC event 10.000000+0.020000 nvrc.node
NVRC event 10.020000+0.010000 nvrc.load
NVRC kata-agent started
{"msg":"event 10.050000+0.020000 kata-agent.node","level":"INFO","name":"kata-agent"}
{"msg":"event 10.080000+0.100000 kata-agent.launch confidential-data-hub","level":"INFO","name":"kata-agent"}
[2026-11-25T01:25:16.974Z INFO confidential-data-hub] event 10.100000+0.020000 confidential-data-hub.node
{"msg":"event 10.190000 kata-agent.listening","level":"INFO","name":"kata-agent"}
{"msg":"event 10.201000+0.000100 kata-agent.call Check","level":"INFO","name":"kata-agent"}
{"msg":"event 10.300000+0.150000 kata-agent.call CreateContainer ${"ab".repeat(32)}","level":"INFO","name":"kata-agent"}
{"msg":"event 10.500000 kata-agent.output ${"ab".repeat(32)}","level":"INFO","name":"kata-agent"}
{"msg":"event 11.000000+0.100000 kata-agent.launch confidential-data-hub","level":"INFO","name":"kata-agent"}
`;
