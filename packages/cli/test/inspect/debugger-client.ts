import { once } from "node:events";

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly code: number; readonly message: string };
}

/** A debugger, as an editor would be one. */
export class DebuggerClient {
  readonly #socket: WebSocket;
  readonly #events: Message[] = [];
  readonly #waiting = new Set<() => void>();
  readonly closed: Promise<CloseEvent>;
  #id = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      this.#events.push(JSON.parse(String(data)) as Message);
      for (const look of this.#waiting) look();
    });
    this.closed = once(socket, "close").then(([event]) => event as CloseEvent);
  }

  static async connect(url: string): Promise<DebuggerClient> {
    const socket = new WebSocket(url);
    const client = new DebuggerClient(socket);
    await once(socket, "open");
    return client;
  }

  async post(method: string, params: object = {}): Promise<Message> {
    const id = (this.#id += 1);
    this.#socket.send(JSON.stringify({ id, method, params }));
    return await this.#find((message) => message.id === id);
  }

  /** The next event of that name that fits. */
  event(method: string, fits: (params: Readonly<Record<string, unknown>>) => boolean = () => true): Promise<Message> {
    return this.#find((message) => message.method === method && fits(message.params ?? {}));
  }

  async evaluate(expression: string): Promise<unknown> {
    const { result = {}, error } = await this.post("Runtime.evaluate", { expression, returnByValue: true });
    if (error !== undefined) throw new Error(error.message);
    return (result["result"] as { value?: unknown }).value;
  }

  send(text: string): void {
    this.#socket.send(text);
  }

  close(): void {
    this.#socket.close();
  }

  #find(fits: (message: Message) => boolean): Promise<Message> {
    return new Promise((resolve) => {
      const look = (): void => {
        const index = this.#events.findIndex(fits);
        if (index < 0) return;
        this.#waiting.delete(look);
        resolve(this.#events.splice(index, 1)[0] ?? {});
      };
      this.#waiting.add(look);
      look();
    });
  }
}
