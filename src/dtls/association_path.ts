// Where the datagrams of an association go, and the records that check another path (RFC 9853, RFC 9146 section 6).

import type { AddressedDatagram, Entropy, Milliseconds } from "../base/core.ts";
import { NEVER } from "../base/core.ts";
import { Counters } from "../base/counters.ts";
import { Queue } from "../base/queue.ts";
import { ContentType } from "./code_points.ts";
import type { OpenedRecord, RecordLayer } from "./record_layer.ts";
import {
  PathValidation,
  ROUTABILITY_MESSAGE_BYTES,
  type RoutabilityCount,
} from "./return_routability.ts";

/**
 * When a new address of the peer counts. `enhanced` and `basic` are checks of RFC 9853, which the peer has to know:
 * `basic` asks at the new address alone, `enhanced` first at the old one, against an attacker who forwards copies of
 * records faster than the network. `unchecked`: the address of the newest record counts at once, which is for networks
 * where nobody can forge an address or forward a record. `fixed`: the address never changes, and no check is offered.
 */
export type PathPolicy = "enhanced" | "basic" | "unchecked" | "fixed";

/** Datagrams of checks that wait to be sent; the oldest gives way. */
const WAITING_MAX = 16;

/** The path of one association. Paths are opaque texts. */
export class AssociationPath {
  /** What came of checks. */
  readonly counts: Counters<RoutabilityCount> = new Counters();
  readonly #records: RecordLayer;
  readonly #policy: PathPolicy;
  readonly #entropy: Entropy;
  readonly #own = new Queue<Uint8Array>();
  readonly #elsewhere = new Queue<AddressedDatagram>();
  /** Where both ends know RFC 9853. */
  #validation: PathValidation | undefined;
  /** Otherwise. */
  #path: string;

  constructor(records: RecordLayer, path: string, policy: PathPolicy, entropy: Entropy) {
    this.#records = records;
    this.#path = path;
    this.#policy = policy;
    this.#entropy = entropy;
  }

  /** The path that datagrams are for. */
  get current(): string {
    return this.#validation?.path ?? this.#path;
  }

  /** The time that the answer from the path in use took when it was checked; `undefined` where it was not. */
  get roundTripMs(): Milliseconds | undefined {
    return this.#validation?.roundTripMs;
  }

  /** Whether messages of checks may come. */
  get hasChecks(): boolean {
    return this.#validation !== undefined;
  }

  /** The handshake is over, and both ends know the check. */
  beginChecks(): void {
    const check = this.#policy === "enhanced" ? "enhanced" : "basic";
    this.#validation = new PathValidation(this.#path, check, this.#entropy, this.counts);
  }

  /**
   * An authenticated record came on a path. RFC 9146 section 6: the address is replaced for nothing less than a record
   * that is "cryptographically verified", "newer", and "a strategy for ensuring that the new peer address is able to
   * receive". Only an association that is found by its connection ID can be found at another address.
   */
  onRecord(
    { type, lengthBytes, isNewest }: OpenedRecord,
    path: string,
    roundTripMs: Milliseconds | undefined,
    now: Milliseconds,
  ): void {
    if (this.#records.receiveIds.lengthBytes === 0) return;
    if (this.#policy === "unchecked") {
      if (isNewest && path !== this.current) this.#moveTo(path);
      return;
    }
    const isCheck = type === ContentType.RETURN_ROUTABILITY_CHECK;
    this.#validation?.onRecord({ path, lengthBytes, isNewest, isCheck }, roundTripMs, now);
  }

  #moveTo(path: string): void {
    this.#path = path;
    if (this.#validation !== undefined) this.beginChecks();
  }

  /** Takes the content of a return_routability_check. Throws `DecodeError` where it is malformed. */
  onMessage(content: Uint8Array, path: string, now: Milliseconds): void {
    this.#validation?.onMessage(content, path, now);
  }

  /** This side goes on at another path. */
  change(path: string, roundTripMs: Milliseconds | undefined, now: Milliseconds): void {
    this.#path = path;
    this.#validation?.changePath(path, roundTripMs, now);
  }

  /** The association is over: the path stays, and nothing is checked any more. */
  stop(): void {
    this.#path = this.current;
    this.#validation = undefined;
    this.#own.clear();
    this.#elsewhere.clear();
  }

  /** When {@linkcode AssociationPath.handleTimeout} is due. */
  pollTimeout(): Milliseconds {
    return this.#validation?.pollTimeout() ?? NEVER;
  }

  /** Runs what was due. */
  handleTimeout(now: Milliseconds): void {
    this.#validation?.handleTimeout(now);
  }

  /** The next datagram of a check that is for the path in use. Throws `DtlsError` where the key is worn out. */
  pollTransmit(now: Milliseconds): Uint8Array | undefined {
    this.#seal(now);
    return this.#own.shift();
  }

  /** The next one that is for another path. Throws `DtlsError` where the key is worn out. */
  pollElsewhere(now: Milliseconds): AddressedDatagram | undefined {
    this.#seal(now);
    return this.#elsewhere.shift();
  }

  #seal(now: Milliseconds): void {
    const validation = this.#validation;
    if (validation === undefined) return;
    const recordBytes = this.#records.overheadBytes + ROUTABILITY_MESSAGE_BYTES;
    for (let message; (message = validation.poll(recordBytes, now)) !== undefined;) {
      const { path, content } = message;
      const isOwn = path === validation.path;
      // RFC 9853 section 9: "peers SHOULD avoid using the same CID on multiple network paths, in particular when
      // initiating connection migration or when probing a new network path".
      const { current, next } = this.#records.sendIds;
      const bytes = this.#records.sealAlone(
        ContentType.RETURN_ROUTABILITY_CHECK,
        content,
        isOwn ? current : next,
      );
      if (isOwn) push(this.#own, bytes);
      else push(this.#elsewhere, { bytes, address: path });
    }
  }
}

function push<Item>(queue: Queue<Item>, item: Item): void {
  if (queue.length >= WAITING_MAX) queue.shift();
  queue.push(item);
}
