// What an association can be asked to do besides moving datagrams: each call is for the part that knows how.

import { AssociationFacts } from "./association_facts.ts";
import type { EarlyDataChannel } from "./early_data_channel.ts";
import { DtlsError } from "./errors.ts";
import type { PostHandshake } from "./post_handshake.ts";

/** The calls of an association to its parts. */
export abstract class AssociationCalls extends AssociationFacts {
  /**
   * What follows the handshake. Throws {@linkcode DtlsError} when the association is not connected.
   * @internal
   */
  protected abstract get connected(): PostHandshake;

  /**
   * What precedes it.
   * @internal
   */
  protected abstract get earlyData(): EarlyDataChannel;

  /**
   * Keying material of this association alone (RFC 8446 section 7.5, RFC 5705), of `lengthBytes` bytes. Throws
   * {@linkcode DtlsError} when the association is not connected.
   */
  exportKeyingMaterial(
    label: string,
    context: Uint8Array | undefined,
    lengthBytes: number,
  ): Uint8Array {
    return this.connected.result.exportKeyingMaterial(label, context, lengthBytes);
  }

  /**
   * Changes the keys that this side sends with (RFC 9147 section 8); `requestPeer` asks the peer to change its own as
   * well. The new keys are in use once the peer has acknowledged that: the message is there to be polled. Returns false
   * where a change is under way. Throws {@linkcode DtlsError} when the association is not connected, speaks DTLS 1.2,
   * or has changed its keys as often as it may.
   */
  updateKeys({ requestPeer = false }: { readonly requestPeer?: boolean } = {}): boolean {
    return this.connected.updateKeys(requestPeer);
  }

  /**
   * Asks the peer for spare connection IDs, so that it has up to `count` (RFC 9147 section 9). Returns false where it
   * has, or was asked before. Throws {@linkcode DtlsError} when the association is not connected, or without
   * connection IDs.
   */
  requestConnectionIds(count: number): boolean {
    return this.connected.requestConnectionIds(count);
  }

  /**
   * Gives the peer up to `count` more connection IDs for records to this side, and returns how many it were.
   * `isImmediate` has it use one of them from now on. Throws as {@linkcode AssociationCalls.requestConnectionIds}
   * does.
   */
  provideConnectionIds(
    count: number,
    { isImmediate = false }: { readonly isImmediate?: boolean } = {},
  ): number {
    return this.connected.provideConnectionIds(count, isImmediate);
  }

  /** Bytes of early data that a client may still seal; 0 where there is none to be sent, or no longer. */
  get earlyDataBytesLeft(): number {
    return this.earlyData.bytesLeft;
  }

  /**
   * Seals early data of a client into a datagram of its own, to be sent after the ClientHello that was polled before.
   * Whoever records it can send it again; an event tells whether the server takes it. Throws {@linkcode DtlsError}
   * where there is no room for it.
   */
  sealEarlyData(bytes: Uint8Array): Uint8Array {
    return this.earlyData.seal(bytes);
  }

  /**
   * Keying material of the early data (RFC 8446 section 7.5), which a recorded ClientHello brings forth again. Throws
   * {@linkcode DtlsError} where no early data is offered or taken.
   */
  exportEarlyKeyingMaterial(label: string, context: Uint8Array, lengthBytes: number): Uint8Array {
    const { exporter } = this.earlyData;
    if (exporter !== undefined) return exporter(label, context, lengthBytes);
    throw new DtlsError("not-connected", "there is no early data");
  }
}
