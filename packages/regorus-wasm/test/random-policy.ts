/**
 * Random policies and inputs, the same on every run: rules and functions with several definitions, `else`, loops,
 * comprehensions, `every`, negation, destructuring, and values of wrong kinds everywhere. Most come to nothing, and many
 * to errors: what counts is that two ways to evaluate them say the same.
 */
export class RandomPolicy {
  readonly #random: (n: number) => number;
  #names = 0;
  #depth = 0;
  #bound: string[] = [];
  readonly #functions: { readonly name: string; readonly arity: number }[] = [];
  readonly #rules: string[] = [];

  constructor(seed: number) {
    let state = BigInt(seed) * 0x9e3779b97f4a7c15n;
    this.#random = (n) => {
      state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
      return Number(state >> 33n) % n;
    };
  }

  /** A policy of package `p` with the rule `Q`. */
  policy(): string {
    const texts = [
      "package p\n",
      'pd := {"list": [1, 2, "x"], "o": {"x": 1, "y": [1, 2]}, "objs": [{"x": 1, "y": "a/b"}, {"x": "x", "y": 2}]}\n',
      ...this.#times(4, (i) => this.#function(`f${i}`)),
      ...this.#times(4, (i) => this.#rule(`r${i}`)),
      "default Q := false\n",
      ...this.#times(2, () => this.#definition("Q", this.#chance(20) ? this.#expression() : undefined)),
      this.#definition("Q", undefined),
    ];
    return texts.join("");
  }

  /** An input for it, as JSON text. */
  input(): string {
    const names = ["a", "b", "list", "objs", "o", "s", "n", "empty", "set"].filter(() => this.#chance(85));
    return JSON.stringify(
      Object.fromEntries(
        names.map((name) => {
          if (name === "empty") return [name, this.#pick([[], {}])];
          if (name === "list" && this.#chance(70)) return [name, this.#times(4, () => this.#value(2))];
          return [name, this.#value(0)];
        }),
      ),
    );
  }

  #chance(percent: number): boolean {
    return this.#random(100) < percent;
  }

  #pick<T extends string | object | (() => string)>(choices: readonly T[]): T {
    const chosen = choices[this.#random(choices.length)];
    if (chosen === undefined) throw new Error("expected something to choose from");
    return chosen;
  }

  #times<T>(below: number, make: (i: number) => T): T[] {
    return Array.from({ length: this.#random(below) }, (_, i) => make(i));
  }

  #value(depth: number): unknown {
    const kind = this.#random(depth > 2 ? 7 : 11);
    if (kind < 7) return [1, 2, "x", "a/b", null, true, false][kind];
    if (kind < 9) return this.#times(4, () => this.#value(depth + 1));
    const keys = ["x", "y", "z"].filter(() => this.#chance(60));
    return Object.fromEntries(keys.map((key) => [key, this.#value(depth + 1)]));
  }

  #fresh(): string {
    this.#names += 1;
    const name = `v${this.#names}`;
    this.#bound.push(name);
    return name;
  }

  /** What `make` gives, with the variables that it binds forgotten. */
  #scoped<T>(make: () => T): T {
    const before = [...this.#bound];
    const made = make();
    this.#bound = before;
    return made;
  }

  #function(name: string): string {
    const arity = 1 + this.#random(2);
    const valued = this.#chance(40);
    const definitions = Array.from({ length: 1 + this.#random(3) }, () => {
      const parameters = Array.from({ length: arity }, (_, i) => `p${i}`);
      this.#bound = [...parameters];
      if (this.#chance(12)) parameters[0] = this.#scalar();
      return this.#definition(`${name}(${parameters.join(", ")})`, valued ? this.#expression() : undefined, true);
    });
    this.#functions.push({ name, arity });
    return definitions.join("");
  }

  #rule(name: string): string {
    const kind = this.#random(4);
    const texts = kind < 3 && this.#chance(40) ? [`default ${name} := ${this.#pick(["false", "true", "1"])}\n`] : [];
    for (let i = 0; i <= this.#random(2); i += 1) {
      if (kind === 3) {
        this.#bound = [];
        texts.push(`${name} contains ${this.#expression()} if {\n  ${this.#body()}\n}\n`);
      } else texts.push(this.#definition(name, kind === 2 ? this.#expression() : undefined));
    }
    this.#rules.push(name);
    return texts.join("");
  }

  #definition(head: string, value: string | undefined, keepBound = false): string {
    if (!keepBound) this.#bound = [];
    const assigned = value === undefined ? "" : ` := ${value}`;
    let text = `${head}${assigned} if {\n  ${this.#scoped(() => this.#body())}\n}`;
    if (this.#chance(15)) {
      const other = value === undefined ? "true" : this.#scalar();
      text += ` else := ${other} if {\n  ${this.#scoped(() => this.#body())}\n}`;
    }
    return `${text}\n`;
  }

  #body(): string {
    const statements = Array.from({ length: 1 + this.#random(4) }, () => this.#statement());
    if (this.#chance(30)) {
      const said = this.#pick(["input.a", "input.list[0]", 'input.o["x"].y', "count(input.list)", "pd.list[1 - 1]"]);
      statements.splice(this.#random(statements.length + 1), 0, `print("saw", ${said})`);
    }
    return statements.join("\n  ");
  }

  #scalar(): string {
    return this.#pick(["1", "2", "0", '"x"', '"y"', "true", "false", "null", '"a/b"', "-1"]);
  }

  #reference(): string {
    const roots =
      "input.a input.b input.list input.objs input.o input.s input.none input.empty input.set.x data.pstate.k data.pstate.none pd.list pd.o pd.objs pd.none input.n";
    let text = this.#bound.length > 0 && this.#chance(35) ? this.#pick(this.#bound) : this.#pick(roots.split(" "));
    if (this.#chance(30)) text += this.#pick([".x", ".y", "[0]", "[1]", '["x"]', ".z"]);
    if (this.#bound.length > 0 && this.#chance(15)) text += `[${this.#pick(this.#bound)}]`;
    return text;
  }

  #expression(): string {
    this.#depth += 1;
    const text = this.#depth > 4 ? this.#pick([() => this.#scalar(), () => this.#reference()])() : this.#composed();
    this.#depth -= 1;
    return text;
  }

  #composed(): string {
    const kind = this.#random(20);
    const inner = (): string => this.#expression();
    if (kind < 4) return this.#scalar();
    if (kind < 10) return this.#reference();
    if (kind === 10) return `count(${inner()})`;
    if (kind === 11) return `concat("/", [${inner()}, ${inner()}])`;
    if (kind === 12) return `split(${inner()}, "/")`;
    if (kind === 13) return `replace(${inner()}, "x", "y")`;
    if (kind === 14) return this.#call() ?? this.#reference();
    if (kind === 15) return this.#rules.length === 0 ? this.#reference() : this.#pick(this.#rules);
    if (kind === 16) return this.#chance(50) ? `[${inner()}, ${inner()}]` : `{"x": ${inner()}}`;
    if (kind === 17) return this.#comprehension();
    if (kind === 18) return `(${inner()} ${this.#pick(["+", "-", "*"])} ${inner()})`;
    return `${this.#pick(["lower", "is_null", "to_number", "sum", "is_string"])}(${inner()})`;
  }

  #call(): string | undefined {
    if (this.#functions.length === 0) return undefined;
    const { name, arity } = this.#pick(this.#functions);
    return `${name}(${Array.from({ length: arity }, () => this.#expression()).join(", ")})`;
  }

  #comprehension(): string {
    return this.#scoped(() => {
      const first = this.#chance(25) ? this.#statement() : this.#generator();
      const body = [first, ...this.#times(3, () => this.#statement())].join("; ");
      // The interpreter does not schedule a comprehension within the term of another.
      const term = this.#chance(50) && this.#bound.length > 0 ? this.#pick(this.#bound) : this.#reference();
      return this.#chance(50) ? `{${term} | ${body}}` : `[${term} | ${body}]`;
    });
  }

  #generator(): string {
    const collection = this.#reference();
    return this.#pick([
      () => `some ${this.#fresh()} in ${collection}`,
      () => `${this.#fresh()} := ${collection}[_]`,
      () => `some ${this.#fresh()}, ${this.#fresh()} in ${collection}`,
    ])();
  }

  #comparison(): string {
    return `${this.#expression()} ${this.#pick(["==", "==", "==", "!=", "<", ">="])} ${this.#expression()}`;
  }

  #statement(): string {
    const collection = this.#reference();
    return this.#pick([
      () => this.#comparison(),
      () => this.#comparison(),
      () => this.#comparison(),
      () => this.#reference(),
      () => this.#assignment(this.#expression()),
      () => this.#generator(),
      () => this.#every(collection),
      () => `not ${this.#pick([() => this.#comparison(), () => this.#reference(), () => this.#expression()])()}`,
      () => `${this.#expression()} in ${collection}`,
      () => this.#call() ?? this.#comparison(),
      () =>
        `${this.#pick(["startswith", "endswith", "contains"])}(${collection}, ${this.#pick(['"x"', '"a"', '"/"'])})`,
      () => `regex.match(${this.#pick(['"^x$"', '"^a.*b$"', '"[0-9]+"'])}, ${collection})`,
      () => (this.#rules.length === 0 ? this.#comparison() : this.#pick(this.#rules)),
      () => `${collection}[_].x == ${this.#expression()}`,
      () => `[${this.#fresh()}, ${this.#fresh()}] := ${collection}`,
      () => `some [${this.#fresh()}, ${this.#fresh()}] in ${collection}`,
      () => `some {"x": ${this.#fresh()}} in ${collection}`,
      () => `count(${this.#comprehension()}) ${this.#pick(["==", "!=", ">", "<"])} ${this.#pick(["0", "1", "2"])}`,
      () => `count({${this.#expression()}, 1} ${this.#pick(["|", "&", "-"])} {${this.#expression()}, 2}) > 1`,
      () => `some ${this.#fresh()} in ${this.#comprehension()}`,
    ])();
  }

  /** The variable is bound by what comes before it, not by its own value. */
  #assignment(value: string): string {
    return `${this.#fresh()} := ${value}`;
  }

  #every(collection: string): string {
    return this.#scoped(() => {
      const names = this.#chance(30) ? `${this.#fresh()}, ${this.#fresh()}` : this.#fresh();
      const body = [this.#statement(), ...this.#times(3, () => this.#statement())].join("; ");
      return `every ${names} in ${collection} { ${body} }`;
    });
  }
}
