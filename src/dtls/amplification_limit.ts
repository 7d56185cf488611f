// How much an address gets that has not shown that it receives (RFC 9147 section 5.1).

import { AMPLIFICATION_MAX } from "./limits.ts";

/** A datagram is not begun for less. */
const DATAGRAM_BYTES_MIN = 64;

/**
 * RFC 9147 section 5.1: "A server SHOULD limit the amount of data it sends toward a client address to three times the
 * amount of data sent by the client before it verifies that the client is able to receive data at that address."
 */
export class AmplificationLimit {
  #bytesLeft: number;

  /** `receivedBytes` came from the address before; without it the address is validated. */
  constructor(receivedBytes = Infinity) {
    this.#bytesLeft = AMPLIFICATION_MAX * receivedBytes;
  }

  /** The address has shown that it receives. */
  validate(): void {
    this.#bytesLeft = Infinity;
  }

  /** Bytes of the next datagram; 0 for none. */
  get datagramBytesMax(): number {
    return this.#bytesLeft < DATAGRAM_BYTES_MIN ? 0 : this.#bytesLeft;
  }

  /** More came from the address. */
  onReceived(bytes: number): void {
    this.#bytesLeft += AMPLIFICATION_MAX * bytes;
  }

  /** The datagram, where it may go to the address. */
  admit(datagram: Uint8Array | undefined): Uint8Array | undefined {
    if (datagram === undefined || datagram.length > this.#bytesLeft) return undefined;
    this.#bytesLeft -= datagram.length;
    return datagram;
  }
}
