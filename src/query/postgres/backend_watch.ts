// Watches the messages that a PostgreSQL server sends, beside the driver: what the driver does not say of them, and
// how large they are before they are held.

/** What is heard of, by the type of the message. */
export interface BackendListener {
  /** BackendKeyData: what a request to cancel has to name. */
  onKey(processId: number, secret: number): void;
  /** ReadyForQuery: `I` outside of a transaction, `T` in one, `E` in one that failed. */
  onReady(status: string): void;
  /** An ErrorResponse with which the server ends the connection, by its SQLSTATE. */
  onFatal(code: string): void;
  /** EmptyQueryResponse. */
  onEmptyQuery(): void;
  /** NotificationResponse. */
  onNotification(): void;
  /** A message is announced that is larger than the limit. */
  onTooLarge(lengthBytes: number): void;
}

/** A type of one byte and a length of four, which counts itself. */
const HEADER_BYTES = 5;
const LENGTH_BYTES = 4;
/** The most that is looked at of a message: of an error its severity and code, which come first. */
const BODY_BYTES = 64;

const type = (letter: string) => letter.charCodeAt(0);
const KEY = type("K");
const READY = type("Z");
const EMPTY_QUERY = type("I");
const ERROR = type("E");
const NOTIFICATION = type("A");

/** Takes the bytes that the server sends, in order and in any pieces. */
export class BackendWatch {
  readonly #listener: BackendListener;
  readonly #messageBytesMax: number;
  readonly #start = new Uint8Array(HEADER_BYTES + BODY_BYTES);
  /** Bytes of the message that have come, header included, and how many there are in all once that is known. */
  #seenBytes = 0;
  #messageBytes = HEADER_BYTES;

  constructor(messageBytesMax: number, listener: BackendListener) {
    this.#messageBytesMax = messageBytesMax;
    this.#listener = listener;
  }

  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const wanted = this.#messageBytes - this.#seenBytes;
      const given = Math.min(wanted, bytes.length - at);
      for (let i = 0; i < given && this.#seenBytes + i < this.#start.length; i++) {
        this.#start[this.#seenBytes + i] = bytes[at + i]!;
      }
      at += given;
      this.#seenBytes += given;
      if (this.#seenBytes === HEADER_BYTES) this.#onHeader();
      if (this.#seenBytes === this.#messageBytes) this.#onMessage();
    }
  }

  #onHeader(): void {
    const lengthBytes = new DataView(this.#start.buffer).getUint32(1);
    this.#messageBytes = HEADER_BYTES - LENGTH_BYTES + Math.max(lengthBytes, LENGTH_BYTES);
    if (lengthBytes > this.#messageBytesMax) this.#listener.onTooLarge(lengthBytes);
  }

  #onMessage(): void {
    const view = new DataView(this.#start.buffer);
    const seenBytes = Math.min(this.#seenBytes, this.#start.length);
    this.#seenBytes = 0;
    this.#messageBytes = HEADER_BYTES;
    switch (this.#start[0]) {
      case KEY:
        return this.#listener.onKey(view.getUint32(HEADER_BYTES), view.getUint32(HEADER_BYTES + 4));
      case READY:
        return this.#listener.onReady(String.fromCharCode(this.#start[HEADER_BYTES]!));
      case EMPTY_QUERY:
        return this.#listener.onEmptyQuery();
      case NOTIFICATION:
        return this.#listener.onNotification();
      case ERROR:
        return this.#onError(this.#start.subarray(HEADER_BYTES, seenBytes));
    }
  }

  /** Fields of a letter and a text: `V` is the severity in no language, `C` the code. */
  #onError(start: Uint8Array): void {
    const fields = new TextDecoder().decode(start).split("\0");
    const code = fields.find((field) => field.startsWith("C"))?.slice(1);
    if (code !== undefined && /^V(?:FATAL|PANIC)$/m.test(fields.join("\n"))) {
      this.#listener.onFatal(code);
    }
  }
}
