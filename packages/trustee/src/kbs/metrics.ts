/** Label values to a count; no label is the empty text. */
type Series = Map<string, number>;

interface Counter {
  readonly help: string;
  readonly label?: string;
  readonly series: Series;
}

interface Histogram {
  readonly help: string;
  readonly label?: string;
  readonly bounds: readonly number[];
  readonly series: Map<string, Distribution>;
}

interface Distribution {
  /** Of each bound, with all that are below it. */
  readonly counts: number[];
  sum: number;
  count: number;
}

export type CounterName =
  | "kbs_attestation_errors_total"
  | "kbs_attestation_failures_total"
  | "kbs_attestation_requests_total"
  | "kbs_attestation_successes_total"
  | "kbs_auth_errors_total"
  | "kbs_auth_requests_total"
  | "kbs_auth_successes_total"
  | "kbs_http_requests_total"
  | "kbs_plugin_errors_total"
  | "kbs_plugin_requests_total"
  | "kbs_policy_approvals_total"
  | "kbs_policy_errors_total"
  | "kbs_policy_evaluations_total"
  | "kbs_policy_violations_total"
  | "kbs_resource_deletes_total"
  | "kbs_resource_reads_total"
  | "kbs_resource_writes_total";
export type HistogramName =
  | "kbs_http_request_duration_seconds"
  | "kbs_http_request_size_bytes"
  | "kbs_http_response_size_bytes"
  | "kbs_plugin_request_duration_seconds";

const COUNTERS: Readonly<Record<CounterName, readonly [help: string, label?: string]>> = {
  kbs_attestation_errors_total: ["Total count of errors during attestation processing"],
  kbs_attestation_failures_total: ["Total count of attestation failures", "tee_type"],
  kbs_attestation_requests_total: ["Total count of attestation requests"],
  kbs_attestation_successes_total: ["Total count of attestation successes", "tee_type"],
  kbs_auth_errors_total: ["Total count of errors during auth processing"],
  kbs_auth_requests_total: ["Total count of auth requests"],
  kbs_auth_successes_total: ["Total count of successfully authenticated requests"],
  kbs_http_requests_total: ["Total HTTP requests count"],
  kbs_plugin_errors_total: ["Total failed requests to a plugin", "plugin_name"],
  kbs_plugin_requests_total: ["Total requests forwarded to a plugin", "plugin_name"],
  kbs_policy_approvals_total: ["Total count of requests approved by KBS policy"],
  kbs_policy_errors_total: ["Total count of errors during KBS evaluation"],
  kbs_policy_evaluations_total: ["Total count of KBS policy evaluations"],
  kbs_policy_violations_total: ["Total count of requests denied by KBS policy"],
  kbs_resource_deletes_total: ["KBS resource delete count", "resource_path"],
  kbs_resource_reads_total: ["KBS resource read count", "resource_path"],
  kbs_resource_writes_total: ["KBS resource write count", "resource_path"],
};

const SECONDS = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.5, 1];
const BYTES = [32, 128, 512, 2048, 8192];
const HISTOGRAMS: Readonly<Record<HistogramName, readonly [help: string, bounds: readonly number[], label?: string]>> =
  {
    kbs_http_request_duration_seconds: ["Distribution of request handling duration", SECONDS],
    kbs_http_request_size_bytes: ["Distribution of request body sizes", BYTES],
    kbs_http_response_size_bytes: ["Distribution of response body sizes", BYTES],
    kbs_plugin_request_duration_seconds: ["Distribution of plugin request duration", SECONDS, "plugin_name"],
  };

/** Series of one counter: paths are the administrator's, but a disk full of resources is no reason to hold them all. */
const MAX_SERIES = 1024;

/** Counts under upstream's names, in Prometheus' text format. */
export class Metrics {
  readonly #version: string;
  readonly #counters = new Map<string, Counter>();
  readonly #histograms = new Map<string, Histogram>();
  /** Requests being answered. */
  active = 0;

  constructor(version: string) {
    this.#version = version;
    for (const [name, [help, label]] of Object.entries(COUNTERS)) {
      this.#counters.set(name, {
        help,
        ...(label === undefined ? {} : { label }),
        series: new Map(label === undefined ? [["", 0]] : []),
      });
    }
    for (const [name, [help, bounds, label]] of Object.entries(HISTOGRAMS)) {
      const series = new Map<string, Distribution>();
      if (label === undefined) series.set("", empty(bounds));
      this.#histograms.set(name, { help, bounds, series, ...(label === undefined ? {} : { label }) });
    }
  }

  count(name: CounterName, label = ""): void {
    const series = this.#counters.get(name)?.series;
    if (series === undefined || (series.size >= MAX_SERIES && !series.has(label))) return;
    series.set(label, (series.get(label) ?? 0) + 1);
  }

  observe(name: HistogramName, value: number, label = ""): void {
    const histogram = this.#histograms.get(name);
    if (histogram === undefined || (histogram.series.size >= MAX_SERIES && !histogram.series.has(label))) return;
    const distribution = histogram.series.get(label) ?? empty(histogram.bounds);
    histogram.series.set(label, distribution);
    distribution.sum += value;
    distribution.count++;
    histogram.bounds.forEach((bound, at) => {
      if (value <= bound) distribution.counts[at] = (distribution.counts[at] ?? 0) + 1;
    });
  }

  text(): string {
    const version = JSON.stringify(this.#version);
    const lines = [
      ...head("kbs_build_info", "KBS binary build info", "gauge"),
      `kbs_build_info{version=${version},git_hash="",build_date=""} 1`,
      ...head("kbs_http_active_connections", "Count of HTTP connections being processed at the moment", "gauge"),
      `kbs_http_active_connections ${this.active}`,
    ];
    for (const [name, { help, label, series }] of this.#counters) {
      if (series.size === 0) continue;
      lines.push(...head(name, help, "counter"));
      for (const [value, n] of series) lines.push(`${name}${labels(labelled(label, value))} ${n}`);
    }
    for (const [name, { help, label, bounds, series }] of this.#histograms) {
      if (series.size === 0) continue;
      lines.push(...head(name, help, "histogram"));
      for (const [value, { counts, sum, count }] of series) {
        const own = labelled(label, value);
        bounds.forEach((bound, at) =>
          lines.push(`${name}_bucket${labels([...own, `le="${bound}"`])} ${counts[at] ?? 0}`),
        );
        lines.push(`${name}_bucket${labels([...own, 'le="+Inf"'])} ${count}`);
        lines.push(`${name}_sum${labels(own)} ${sum}`, `${name}_count${labels(own)} ${count}`);
      }
    }
    return `${lines.join("\n")}\n`;
  }
}

function empty(bounds: readonly number[]): Distribution {
  return { counts: bounds.map(() => 0), sum: 0, count: 0 };
}

/** Paths of resources hold letters, digits and few signs; quoting them as JSON does is the format's own. */
function labelled(label: string | undefined, value: string): readonly string[] {
  return label === undefined ? [] : [`${label}=${JSON.stringify(value)}`];
}

function labels(pairs: readonly string[]): string {
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function head(name: string, help: string, type: string): readonly string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}
