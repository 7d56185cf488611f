// What a finished handshake has settled, for the users of an association to read.

import type { HandshakeResult } from "./handshake.ts";
import type { Credential } from "./options.ts";

/** The facts of an association; all are there once it is connected. */
export abstract class AssociationFacts {
  /**
   * What the handshake came to.
   * @internal
   */
  protected abstract get result(): HandshakeResult | undefined;

  /** The protocol that ALPN chose, once connected. */
  get alpn(): string | undefined {
    return this.result?.alpn;
  }

  /** The server name that the client asked for, once connected. */
  get serverName(): string | undefined {
    return this.result?.serverName;
  }

  /** The cipher suite's number, once connected. */
  get cipherSuite(): number | undefined {
    return this.result?.suite.suite;
  }

  /** The key exchange group's number, once connected. */
  get group(): number | undefined {
    return this.result?.group;
  }

  /** The peer's verified chain in DER, leaf first; empty where it presented none, or before it is connected. */
  get peerChain(): readonly Uint8Array[] {
    return this.result?.peerChain ?? [];
  }

  /** Whether the server asked for a second ClientHello by a HelloRetryRequest, once connected. */
  get isRetried(): boolean {
    return this.result?.isRetried ?? false;
  }

  /** Whether a session was resumed, once connected. */
  get isResumed(): boolean {
    return this.result?.isResumed ?? false;
  }

  /** The identity of the external PSK that vouched for the peer, in this handshake or before a resumption. */
  get pskIdentity(): Uint8Array | undefined {
    return this.result?.pskIdentity;
  }

  /** The credential that this side presented, once connected. */
  get credential(): Credential | undefined {
    return this.result?.credential;
  }
}
