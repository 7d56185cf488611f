// The keys of a recorded association, of either version: to seal what its peer could have sent, and to see what it did.

import { ByteWriter } from "../../src/base/byte_writer.ts";
import { concatBytes } from "../../src/base/bytes.ts";
import {
  NONCE_BYTES,
  type SuiteParameters,
  suiteParameters,
} from "../../src/dtls/cipher_suites.ts";
import { ContentType, ProtocolVersion } from "../../src/dtls/code_points.ts";
import type { Aead } from "../../src/dtls/crypto/provider.ts";
import { writeKeys } from "../../src/dtls/key_schedule_12.ts";
import { readRecord } from "../../src/dtls/record.ts";
import { loggedSecret, type RecordKit, recordKit } from "../harness/dtls_records.ts";
import { cachedProvider } from "./cached_provider.ts";

/** The two ends. */
export type EndName = "client" | "server";

/** A record to be sealed. */
export interface Unsealed {
  readonly epoch: number;
  readonly number: number;
  readonly type: number;
  readonly content: Uint8Array;
  /** The receiver's. */
  readonly connectionId: Uint8Array;
}

/** What was opened. */
export interface Opened {
  readonly epoch: number;
  readonly type: number;
  readonly content: Uint8Array;
}

/** The keys of both directions. */
export interface AssociationKeys {
  /** The epoch of application data. */
  readonly dataEpoch: number;
  seal(from: EndName, record: Unsealed): Uint8Array;
  /** Opens one record; `undefined` where there is no key for it. */
  open(from: EndName, record: Uint8Array, idBytes: number): Opened | undefined;
}

/** The keys of DTLS 1.3 in a key log. */
export class Keys13 implements AssociationKeys {
  readonly dataEpoch = 3;
  readonly #keyLog: readonly string[];
  readonly #suite: number;
  readonly #kits = new Map<string, RecordKit>();

  constructor(keyLog: readonly string[], suite: number) {
    this.#keyLog = keyLog;
    this.#suite = suite;
  }

  #kit(from: EndName, epoch: number): RecordKit {
    const key = `${from} ${epoch}`;
    const kit = this.#kits.get(key) ??
      recordKit(this.#keyLog, from, epoch === 2 ? 2 : 3, this.#suite);
    this.#kits.set(key, kit);
    return kit;
  }

  seal(from: EndName, record: Unsealed): Uint8Array {
    const epoch = record.epoch === 2 ? 2 : 3;
    return this.#kit(from, epoch).seal({ ...record, epoch });
  }

  open(from: EndName, record: Uint8Array, idBytes: number): Opened | undefined {
    const epoch = record[0]! & 3;
    if (epoch < 2) return undefined;
    const opened = this.#kit(from, epoch).open(record, idBytes);
    if (opened === undefined) return undefined;
    const end = opened.inner.findLastIndex((byte) => byte !== 0);
    return { epoch, type: opened.inner[end]!, content: opened.inner.subarray(0, end) };
  }
}

/** The keys of DTLS 1.2, from the master secret in a key log. */
export class Keys12 implements AssociationKeys {
  readonly dataEpoch = 1;
  readonly #directions: Readonly<Record<EndName, { aead: Aead; iv: Uint8Array }>>;

  constructor(keyLog: readonly string[], suite: number, randoms: Record<EndName, Uint8Array>) {
    const { aead, hash } = suiteParameters(suite) as SuiteParameters;
    const parameters = { provider: cachedProvider, aead, hash };
    const secret = loggedSecret(keyLog, "CLIENT_RANDOM");
    const { client, server } = writeKeys(parameters, secret, randoms.client, randoms.server);
    const direction = ({ key, iv }: typeof client) => ({
      aead: cachedProvider.aead(aead, key),
      iv,
    });
    this.#directions = { client: direction(client), server: direction(server) };
  }

  seal(from: EndName, { number, type, content, connectionId }: Unsealed): Uint8Array {
    const { aead, iv } = this.#directions[from];
    const hasId = connectionId.length > 0;
    const plaintext = hasId ? concatBytes(content, new Uint8Array([type])) : content;
    const sealed = new Uint8Array(plaintext.length + aead.tagBytes);
    const explicit = iv.length < NONCE_BYTES ? sequence(number) : new Uint8Array(0);
    const additionalData = this.#additionalData(type, number, connectionId, plaintext.length);
    aead.seal(this.#nonce(iv, number), additionalData, plaintext, sealed);
    return new ByteWriter().u8(hasId ? ContentType.TLS12_CID : type).u16(ProtocolVersion.DTLS_1_2)
      .bytes(sequence(number)).bytes(connectionId)
      .opaque(2, concatBytes(explicit, sealed)).finish();
  }

  open(from: EndName, bytes: Uint8Array, idBytes: number): Opened | undefined {
    const record = readRecord(bytes, 0, idBytes);
    if (record?.kind !== "plaintext" || record.epoch !== 1) return undefined;
    const { aead, iv } = this.#directions[from];
    const hasId = record.type === ContentType.TLS12_CID;
    const id = hasId ? bytes.subarray(11, 11 + idBytes) : new Uint8Array(0);
    const sealed = record.content.subarray(iv.length < NONCE_BYTES ? 8 : 0);
    const plaintextBytes = sealed.length - aead.tagBytes;
    if (plaintextBytes < 0) return undefined;
    const nonce = this.#nonce(iv, record.recordNumber);
    const data = this.#additionalData(record.type, record.recordNumber, id, plaintextBytes);
    const plaintext = aead.open(nonce, data, sealed);
    if (plaintext === undefined) return undefined;
    return hasId
      ? { epoch: 1, type: plaintext.at(-1) ?? 0, content: plaintext.slice(0, -1) }
      : { epoch: 1, type: record.type, content: plaintext };
  }

  #nonce(iv: Uint8Array, number: number): Uint8Array {
    if (iv.length < NONCE_BYTES) return concatBytes(iv, sequence(number));
    const nonce = iv.slice();
    for (const [i, byte] of sequence(number).entries()) nonce[4 + i]! ^= byte;
    return nonce;
  }

  #additionalData(type: number, number: number, id: Uint8Array, plaintextBytes: number) {
    const writer = new ByteWriter(64);
    const { TLS12_CID } = ContentType;
    if (id.length === 0) {
      return writer.bytes(sequence(number)).u8(type).u16(ProtocolVersion.DTLS_1_2)
        .u16(plaintextBytes).finish();
    }
    // RFC 9146 section 5.3.
    return writer.bytes(new Uint8Array(8).fill(0xff)).u8(TLS12_CID).u8(id.length).u8(TLS12_CID)
      .u16(ProtocolVersion.DTLS_1_2).bytes(sequence(number)).bytes(id).u16(plaintextBytes).finish();
  }
}

/** Epoch 1 and a record number, as a record has them. */
function sequence(number: number): Uint8Array {
  return new ByteWriter(8).u16(1).u48(number).finish();
}
