// What goes out of a stack, in order, and when.

import { type Milliseconds, NEVER } from "../base/core.ts";
import type { DtlsAssociation } from "../dtls/association.ts";
import { DtlsError } from "../dtls/errors.ts";

/** Where the packets that an association seals come from: a transport. */
interface Packets {
  pollTransmit(now: Milliseconds): Uint8Array | undefined;
  close(): void;
}

/** What goes out of a stack: the association's own datagrams, and packets of the transport that it seals. */
export class Outgoing {
  #parting: Uint8Array | undefined;

  /** The next datagram. */
  poll(
    association: DtlsAssociation,
    transport: Packets | undefined,
    now: Milliseconds,
  ): Uint8Array | undefined {
    const parting = this.#parting;
    this.#parting = undefined;
    if (parting !== undefined) return parting;
    const datagram = association.pollTransmit(now);
    if (datagram !== undefined || transport === undefined) return datagram;
    return this.#sealNext(association, transport, now) ?? association.pollTransmit(now);
  }

  /** Closes the association; a last packet of the transport goes before its close_notify. */
  close(association: DtlsAssociation, transport: Packets, now: Milliseconds): void {
    if (association.state === "connected") {
      this.#parting = this.#sealNext(association, transport, now);
      association.close(now);
    }
    transport.close();
  }

  #sealNext(
    association: DtlsAssociation,
    transport: Packets,
    now: Milliseconds,
  ): Uint8Array | undefined {
    if (association.state !== "connected" || association.isWaitingForKeys) return undefined;
    const packet = transport.pollTransmit(now);
    if (packet === undefined) return undefined;
    try {
      return association.sealApplicationData(packet);
    } catch (error) {
      if (!(error instanceof DtlsError)) throw error;
      // The sending key is worn out: the association cannot go on.
      association.close(now);
      return undefined;
    }
  }
}

interface Timed {
  pollTimeout(): Milliseconds;
}

/** When a stack has to be called next. */
export function stackTimeout(
  association: DtlsAssociation,
  transport: Timed | undefined,
  session: Timed | undefined,
): Milliseconds {
  const own = association.pollTimeout();
  if (association.state !== "connected") return own;
  // What the transport would send now it cannot.
  const ofTransport = association.isWaitingForKeys ? NEVER : transport?.pollTimeout() ?? NEVER;
  return Math.min(own, ofTransport, session?.pollTimeout() ?? NEVER);
}
