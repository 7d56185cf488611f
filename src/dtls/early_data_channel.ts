// Early data of one association: what a client seals before it has heard of the server, and what a server takes of it
// (RFC 8446 section 4.2.10, RFC 9147 section 6.1).

import { ContentType } from "./code_points.ts";
import { DtlsError, DtlsFault } from "./errors.ts";
import { RECORD_CONTENT_BYTES_MAX } from "./record.ts";
import type { RecordSealer } from "./record_protection.ts";

/** What an association tells of early data. */
export type EarlyDataEvent =
  /** A server's: data that the client sent before the handshake. Whoever has recorded it may have sent it as well. */
  | { readonly kind: "early-data"; readonly bytes: Uint8Array }
  /** A client's: the server takes the early data, as far as it gets there. */
  | { readonly kind: "early-data-accepted" }
  /** A client's: the server has thrown the early data away. It is not sent again unless the caller does. */
  | { readonly kind: "early-data-rejected"; readonly lost: readonly Uint8Array[] };

/** `lengthBytes` bytes for a label and a context. */
export type EarlyExporter = (
  label: string,
  context: Uint8Array,
  lengthBytes: number,
) => Uint8Array;

/** The early data of one side, from the ClientHello until the server has answered. */
export class EarlyDataChannel {
  readonly #tell: (event: EarlyDataEvent) => void;
  #sealer: RecordSealer | undefined;
  #exporter: EarlyExporter | undefined;
  /** Bytes that may still be sent, or received. */
  #bytesLeft = 0;
  /** What a client has sealed, to be reported where it was in vain. */
  #sealed: Uint8Array[] = [];

  /** Events go to `tell`. */
  constructor(tell: (event: EarlyDataEvent) => void) {
    this.#tell = tell;
  }

  /** Bytes of early data that a client may still seal; 0 where it may not. */
  get bytesLeft(): number {
    return this.#sealer === undefined ? 0 : this.#bytesLeft;
  }

  /** The exporter of early data, where some is offered or taken. */
  get exporter(): EarlyExporter | undefined {
    return this.#exporter;
  }

  /** A client's hello offers early data. */
  offer(sealer: RecordSealer, bytesMax: number, exporter: EarlyExporter): void {
    this.#sealer = sealer;
    this.#bytesLeft = bytesMax;
    this.#exporter = exporter;
  }

  /** Seals early data into a datagram of its own. Throws {@linkcode DtlsError} where there is no room for it. */
  seal(bytes: Uint8Array): Uint8Array {
    const sealer = this.#sealer;
    if (sealer === undefined) {
      throw new DtlsError("not-connected", "there is no early data to be sent, or no longer");
    }
    // RFC 8446 section 4.6.1: "Only Application Data payload (i.e., plaintext but not padding or the inner content type
    // byte) is counted."
    if (bytes.length > Math.min(this.#bytesLeft, RECORD_CONTENT_BYTES_MAX)) {
      throw new DtlsError("record-too-large", `early data of ${this.#bytesLeft} bytes is allowed`);
    }
    const datagram = new Uint8Array(bytes.length + sealer.overheadBytes);
    sealer.seal(datagram, 0, ContentType.APPLICATION_DATA, bytes);
    this.#bytesLeft -= bytes.length;
    this.#sealed.push(bytes.slice());
    return datagram;
  }

  /** The server has answered a client's offer, if it made one. */
  settle(isAccepted: boolean): void {
    if (this.#sealer === undefined) return;
    const lost = this.#sealed;
    this.#stop();
    if (isAccepted) return this.#tell({ kind: "early-data-accepted" });
    this.#exporter = undefined;
    this.#tell({ kind: "early-data-rejected", lost });
  }

  /** A server takes early data. */
  accept(bytesMax: number, exporter: EarlyExporter): void {
    this.#bytesLeft = bytesMax;
    this.#exporter = exporter;
  }

  /** A server has opened a record of epoch 1. Throws {@linkcode DtlsFault} for what must not be in one. */
  take(type: number, content: Uint8Array): void {
    if (type !== ContentType.APPLICATION_DATA) {
      throw new DtlsFault("unexpected-message", `a record of type ${type} among early data`);
    }
    // RFC 8446 section 4.6.1: "A server receiving more than max_early_data_size bytes of 0-RTT data SHOULD terminate
    // the connection with an "unexpected_message" alert."
    if (content.length > this.#bytesLeft) {
      throw new DtlsFault("unexpected-message", "more early data than the ticket allows");
    }
    this.#bytesLeft -= content.length;
    this.#tell({ kind: "early-data", bytes: content });
  }

  #stop(): void {
    this.#sealer?.destroy();
    this.#sealer = undefined;
    this.#sealed = [];
  }

  /** Zeroes the keys. */
  destroy(): void {
    this.#stop();
    this.#exporter = undefined;
  }
}
