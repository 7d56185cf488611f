// The key schedule of (D)TLS 1.3 (RFC 8446 section 7.1): each phase is a type, so that the wrong phase cannot be asked.
//
//   EarlySecret --handshakeSecret(shared secret)--> HandshakeSecret --masterSecret()--> MasterSecret

import { EMPTY_BYTES } from "../base/bytes.ts";
import { lastingBytes, shortBytes } from "../base/short_bytes.ts";
import {
  deriveSecret,
  DTLS13_LABEL_PREFIX,
  EMPTY_HASH,
  HASH_BYTES,
  hkdfExpandLabel,
  hkdfExtract,
  type LabelPrefix,
} from "./crypto/hkdf.ts";
import { DestroyedKeyError } from "./crypto/key_errors.ts";
import type { AeadName, CryptoProvider, HashName } from "./crypto/provider.ts";
import { AEAD_KEY_BYTES, NONCE_BYTES } from "./crypto/aead_shape.ts";

/** What keys are derived with: the provider, the cipher suite's hash, and the prefix of labels. */
export interface KeyScheduleParameters {
  /** Computes the HMACs. */
  readonly provider: CryptoProvider;
  /** The cipher suite's hash. */
  readonly hash: HashName;
  /** DTLS 1.3's where it is not given. */
  readonly labelPrefix?: LabelPrefix;
}

/**
 * A secret of one phase, that other secrets are derived from; what the phases share. Every use after `destroy()` or
 * after the step to the next phase throws {@linkcode DestroyedKeyError}.
 */
export abstract class PhaseSecret {
  readonly #parameters: KeyScheduleParameters;
  #secret: Uint8Array | undefined;

  /** Takes the phase's secret, which is this object's from then on. */
  constructor(parameters: KeyScheduleParameters, secret: Uint8Array) {
    this.#parameters = parameters;
    this.#secret = secret;
  }

  /** What keys are derived with. */
  protected get parameters(): KeyScheduleParameters {
    return this.#parameters;
  }

  #live(): Uint8Array {
    if (this.#secret === undefined) throw new DestroyedKeyError();
    return this.#secret;
  }

  /** Derive-Secret(., label, Messages) of this phase, given the hash of the messages. */
  protected derive(label: string, transcriptHash: Uint8Array, allocate = shortBytes): Uint8Array {
    const { provider, hash, labelPrefix = DTLS13_LABEL_PREFIX } = this.#parameters;
    const secret = this.#live();
    return deriveSecret(provider, hash, labelPrefix, secret, label, transcriptHash, allocate);
  }

  /** The next phase's secret. This phase's is zeroed. */
  protected extractNext(inputKeyingMaterial: Uint8Array): Uint8Array {
    const { provider, hash } = this.#parameters;
    const salt = this.derive("derived", EMPTY_HASH[hash]);
    const next = hkdfExtract(provider, hash, salt, inputKeyingMaterial);
    salt.fill(0);
    // RFC 8446 section 7.1: "Once all the values which are to be derived from a given secret have been computed,
    // that secret SHOULD be erased."
    this.destroy();
    return next;
  }

  /** Zeroes the secret; nothing can be derived from it after that. Harmless when called again. */
  destroy(): void {
    this.#secret?.fill(0);
    this.#secret = undefined;
  }
}

/** Where a PSK is from, which its binder's label tells apart. */
export type PskKind = "external" | "imported" | "resumption";

/** The labels of binder keys (RFC 8446 section 7.1, RFC 9258 section 5.2). */
const BINDER_LABELS: Readonly<Record<PskKind, string>> = {
  external: "ext binder",
  imported: "imp binder",
  resumption: "res binder",
};

/** RFC 8446 section 7.1: ""0" indicates a string of Hash.length bytes set to zero." */
const ZEROS: Readonly<Record<HashName, Uint8Array>> = {
  sha256: new Uint8Array(HASH_BYTES.sha256),
  sha384: new Uint8Array(HASH_BYTES.sha384),
  sha512: new Uint8Array(HASH_BYTES.sha512),
};

/** The first phase: from a PSK, or from zeros where there is none. */
export class EarlySecret extends PhaseSecret {
  /** Takes a PSK, or none. The PSK stays the caller's to zero. */
  constructor(parameters: KeyScheduleParameters, psk?: Uint8Array) {
    const { provider, hash } = parameters;
    // RFC 8446 section 7.1: "if PSK is not in use, Early Secret will still be HKDF-Extract(0, 0)"
    const zeros = ZEROS[hash];
    super(parameters, hkdfExtract(provider, hash, zeros, psk ?? zeros));
  }

  /** binder_key: the base key of a binder, whose verify data {@linkcode finishedVerifyData} gives. */
  binderKey(kind: PskKind): Uint8Array {
    const { hash } = this.parameters;
    return this.derive(BINDER_LABELS[kind], EMPTY_HASH[hash]);
  }

  /** client_early_traffic_secret, given the hash of ClientHello. */
  clientEarlyTrafficSecret(transcriptHash: Uint8Array): Uint8Array {
    return this.derive("c e traffic", transcriptHash);
  }

  /** early_exporter_master_secret, given the hash of ClientHello. */
  earlyExporterMasterSecret(transcriptHash: Uint8Array): Uint8Array {
    return this.derive("e exp master", transcriptHash);
  }

  /**
   * The next phase, from the (EC)DHE shared secret (none: PSK without it). Zeroes this phase's secret; the shared
   * secret stays the caller's to zero.
   */
  handshakeSecret(sharedSecret?: Uint8Array): HandshakeSecret {
    const inputKeyingMaterial = sharedSecret ?? ZEROS[this.parameters.hash];
    return new HandshakeSecret(this.parameters, this.extractNext(inputKeyingMaterial));
  }
}

/** The second phase: handshake traffic secrets. {@linkcode EarlySecret.handshakeSecret} makes it. */
export class HandshakeSecret extends PhaseSecret {
  /** client_handshake_traffic_secret, given the hash of ClientHello...ServerHello. */
  clientHandshakeTrafficSecret(transcriptHash: Uint8Array): Uint8Array {
    return this.derive("c hs traffic", transcriptHash);
  }

  /** server_handshake_traffic_secret, given the hash of ClientHello...ServerHello. */
  serverHandshakeTrafficSecret(transcriptHash: Uint8Array): Uint8Array {
    return this.derive("s hs traffic", transcriptHash);
  }

  /** The next phase. Zeroes this phase's secret. */
  masterSecret(): MasterSecret {
    return new MasterSecret(this.parameters, this.extractNext(ZEROS[this.parameters.hash]));
  }
}

/**
 * The last phase: application traffic, exporter and resumption secrets. {@linkcode HandshakeSecret.masterSecret}
 * makes it.
 */
export class MasterSecret extends PhaseSecret {
  /** client_application_traffic_secret_0, given the hash of ClientHello...server Finished. */
  clientApplicationTrafficSecret(transcriptHash: Uint8Array): Uint8Array {
    return this.derive("c ap traffic", transcriptHash, lastingBytes);
  }

  /** server_application_traffic_secret_0, given the hash of ClientHello...server Finished. */
  serverApplicationTrafficSecret(transcriptHash: Uint8Array): Uint8Array {
    return this.derive("s ap traffic", transcriptHash, lastingBytes);
  }

  /** exporter_master_secret, given the hash of ClientHello...server Finished. */
  exporterMasterSecret(transcriptHash: Uint8Array): Uint8Array {
    return this.derive("exp master", transcriptHash, lastingBytes);
  }

  /** resumption_master_secret, given the hash of ClientHello...client Finished. */
  resumptionMasterSecret(transcriptHash: Uint8Array): Uint8Array {
    return this.derive("res master", transcriptHash, lastingBytes);
  }
}

function expandLabel(
  { provider, hash, labelPrefix = DTLS13_LABEL_PREFIX }: KeyScheduleParameters,
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  lengthBytes: number,
  allocate = shortBytes,
): Uint8Array {
  return hkdfExpandLabel(
    provider,
    hash,
    labelPrefix,
    secret,
    label,
    context,
    lengthBytes,
    allocate,
  );
}

/** What one direction of one epoch protects its records with. */
export interface TrafficKeys {
  /** The AEAD's key. */
  readonly key: Uint8Array;
  /** 12 bytes that the record number is combined with into the nonce. */
  readonly iv: Uint8Array;
  /** The key of the cipher that hides record numbers. */
  readonly recordNumberKey: Uint8Array;
}

/** The cipher suite's parts that traffic keys depend on, in the form of {@linkcode KeyScheduleParameters}. */
export interface TrafficKeyParameters extends KeyScheduleParameters {
  /** The cipher suite's AEAD. */
  readonly aead: AeadName;
}

/** The keys of a traffic secret (RFC 8446 section 7.3, RFC 9147 section 4.2.3). */
export function trafficKeys(
  parameters: TrafficKeyParameters,
  trafficSecret: Uint8Array,
): TrafficKeys {
  const keyBytes = AEAD_KEY_BYTES[parameters.aead];
  const expand = (label: string, lengthBytes: number, allocate = shortBytes) =>
    expandLabel(parameters, trafficSecret, label, EMPTY_BYTES, lengthBytes, allocate);
  return {
    key: expand("key", keyBytes),
    iv: expand("iv", NONCE_BYTES, lastingBytes),
    // RFC 9147 section 4.2.3: "[sender]_sn_key = HKDF-Expand-Label(Secret, "sn", "", key_length)"
    recordNumberKey: expand("sn", keyBytes),
  };
}

/** application_traffic_secret_N+1 (RFC 8446 section 7.2). The old secret stays the caller's to zero. */
export function nextTrafficSecret(
  parameters: KeyScheduleParameters,
  trafficSecret: Uint8Array,
): Uint8Array {
  const lengthBytes = HASH_BYTES[parameters.hash];
  const label = "traffic upd";
  return expandLabel(parameters, trafficSecret, label, EMPTY_BYTES, lengthBytes, lastingBytes);
}

/** finished_key (RFC 8446 section 4.4.4) of a handshake traffic secret, or of a binder key. */
export function finishedKey(parameters: KeyScheduleParameters, baseKey: Uint8Array): Uint8Array {
  return expandLabel(parameters, baseKey, "finished", EMPTY_BYTES, HASH_BYTES[parameters.hash]);
}

/**
 * verify_data of a Finished message (RFC 8446 section 4.4.4), or a PSK's binder (section 4.2.11.2), given the hash
 * of the messages before it. Compare it in constant time: {@linkcode equalSecrets}.
 */
export function finishedVerifyData(
  parameters: KeyScheduleParameters,
  baseKey: Uint8Array,
  transcriptHash: Uint8Array,
): Uint8Array {
  const key = finishedKey(parameters, baseKey);
  const verifyData = shortBytes(HASH_BYTES[parameters.hash]);
  parameters.provider.hmac(parameters.hash, verifyData, key, transcriptHash);
  key.fill(0);
  return verifyData;
}

/** Whether two secrets are equal, in a time that depends on their lengths alone. */
export function equalSecrets(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

/** The PSK of a ticket (RFC 8446 section 4.6.1), given the nonce of its NewSessionTicket. */
export function resumptionPsk(
  parameters: KeyScheduleParameters,
  resumptionMasterSecret: Uint8Array,
  ticketNonce: Uint8Array,
): Uint8Array {
  const lengthBytes = HASH_BYTES[parameters.hash];
  return expandLabel(parameters, resumptionMasterSecret, "resumption", ticketNonce, lengthBytes);
}

/**
 * TLS-Exporter(label, context_value, key_length) (RFC 8446 section 7.5) from an exporter_master_secret. No context
 * and an empty one are the same. Throws `RangeError` for labels that do not fit and lengths that HKDF cannot give.
 */
export function exportKeyingMaterial(
  parameters: KeyScheduleParameters,
  exporterMasterSecret: Uint8Array,
  label: string,
  context: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  const { provider, hash } = parameters;
  const none = EMPTY_HASH[hash];
  const secret = expandLabel(parameters, exporterMasterSecret, label, none, HASH_BYTES[hash]);
  const contextHash = provider.hash(hash);
  contextHash.update(context);
  const exported = expandLabel(parameters, secret, "exporter", contextHash.digest(), lengthBytes);
  secret.fill(0);
  return exported;
}
