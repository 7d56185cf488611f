// Datagrams that an association receives, at every point of its life: a client's, or a server's behind its endpoint.

import { equalBytes } from "../../src/base/bytes.ts";
import { ContentType } from "../../src/dtls/code_points.ts";
import { DtlsAlertError, DtlsError, type DtlsEvent, DtlsFault } from "../../src/dtls/mod.ts";
import { AMPLIFICATION_MAX } from "../../src/dtls/limits.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { plaintextRecord } from "../harness/dtls_records.ts";
import { makeScript, Op } from "./association_script.ts";
import {
  CLIENT_ADDRESS,
  type End,
  type Recording,
  recordingsFor,
  startClient,
  startServer,
} from "./recording.ts";
import type { EndName } from "./record_keys.ts";
import { type FuzzInput, type FuzzOutcome, type FuzzTarget, rule } from "./target.ts";

/** Bytes that one datagram may draw in answer: a flight of ten records, an ACK and an alert. */
const ANSWER_BYTES_MAX = 16_384;

/** Time that the steps of one input may take in all: beyond, a handshake may time out. */
const WAIT_MS_MAX = 20_000;

/** Record numbers of the fuzzer's own records begin here, above those of the recording. */
const FIRST_NUMBER = 1_000;

/** The target of an end's datagrams. */
export function associationTarget(end: EndName): FuzzTarget {
  return {
    name: end,
    make: (random, kept) => makeScript(random, recordingsFor(end), kept),
    run: (input) => runScript(recordingsFor(end), input),
  };
}

/** Puts an end through a script. */
export function runScript(recordings: readonly Recording[], input: FuzzInput): FuzzOutcome {
  const [head = new Uint8Array(2), ...steps] = input;
  const recording = recordings[(head[0] ?? 0) % recordings.length]!;
  const run = new ScriptRun(recording, (head[1] ?? 0) % (recording.datagrams.length + 1));
  try {
    for (const step of steps) run.step(step);
    return run.finish();
  } finally {
    run.destroy();
  }
}

/** One end, brought to a point of its life, and what it is fed from there on. */
class ScriptRun {
  readonly #recording: Recording;
  readonly #end: End;
  #now = EPOCH_MS;
  #nextDatagram = 0;
  #nextNumber = FIRST_NUMBER;
  #count = 0;
  readonly #features = new Set<string>();
  /** From here on only what the peer's keys vouch for may end the association. */
  readonly #isProtected: boolean;
  /** Nothing that the peer's keys vouch for was sent, but for the recording. */
  #isUnauthenticated = true;
  readonly #received = new Map<string, number>();
  readonly #answered = new Map<string, number>();

  constructor(recording: Recording, stage: number) {
    this.#recording = recording;
    const { shape, end } = recording;
    this.#end = end === "client" ? startClient(shape) : startServer(shape);
    this.#end.drain(this.#now);
    while (this.#nextDatagram < stage) this.#next();
    this.#end.events();
    this.#isProtected = this.#end.association?.hasOpenedRecord ?? false;
  }

  /** The next datagram of the recording. */
  #next(): void {
    const bytes = this.#recording.datagrams[this.#nextDatagram++];
    if (bytes === undefined) return;
    this.#end.handle(bytes, this.#now);
    this.#end.drain(this.#now);
  }

  get #isEstablished(): boolean {
    return this.#nextDatagram >= this.#recording.handshakeCount;
  }

  step(step: Uint8Array): void {
    const content = step.subarray(1);
    switch (step[0]) {
      case Op.DATAGRAM:
        return this.#foreign(content, CLIENT_ADDRESS);
      case Op.STRANGER:
        return this.#foreign(content.subarray(1), `198.51.100.${content[0] ?? 0}:5`);
      case Op.RECORD:
        return this.#record(content);
      case Op.WAIT:
        return this.#wait(256 * (content[0] ?? 0) + (content[1] ?? 0));
      default:
        this.#next();
        return noteEvents(this.#end.events(), this.#features);
    }
  }

  /** Bytes that nobody vouches for. */
  #foreign(bytes: Uint8Array, address: string): void {
    const { endpoint, association } = this.#end;
    const isUntouchable = this.#isUnauthenticated && this.#isProtected && this.#isEstablished &&
      this.#nextDatagram === this.#recording.datagrams.length && this.#now === EPOCH_MS;
    const before = association && [association.state, association.pollTimeout()].join();
    const associations = endpoint?.associationCount;
    this.#received.set(address, (this.#received.get(address) ?? 0) + bytes.length);
    const events = this.#give(bytes, address);
    if (endpoint !== undefined && address !== CLIENT_ADDRESS) {
      rule(endpoint.associationCount === associations, "an association for a stranger");
    }
    if (!isUntouchable || association === undefined) return;
    rule(events.length === 0, "an event for what nobody vouches for");
    const after = [association.state, association.pollTimeout()].join();
    rule(before === after, `what nobody vouches for changes an association: ${before}, ${after}`);
  }

  /** A record that the peer could have sent. */
  #record(content: Uint8Array): void {
    const epoch = (content[0] ?? 0) & 3;
    const { keys, end } = this.#recording;
    const peer = end === "client" ? "server" : "client";
    const type = content[1] ?? 0;
    const body = content.subarray(2);
    const number = this.#nextNumber++;
    if (epoch === 0) {
      return this.#foreign(plaintextRecord(type, body, number), CLIENT_ADDRESS);
    }
    this.#isUnauthenticated = false;
    const connectionId = this.#end.association?.receiveConnectionId ?? new Uint8Array(0);
    const record = { epoch, number, type, content: body, connectionId };
    this.#give(keys.seal(peer, record), CLIENT_ADDRESS);
  }

  #wait(ms: number): void {
    if (this.#now + ms > EPOCH_MS + WAIT_MS_MAX) return;
    this.#now += ms;
    this.#end.handleTimeout(this.#now);
    this.#take(this.#end.drain(this.#now), ANSWER_BYTES_MAX);
    noteEvents(this.#end.events(), this.#features);
  }

  #give(bytes: Uint8Array, address: string): DtlsEvent[] {
    this.#count++;
    this.#end.handle(bytes, this.#now, address);
    const answers = this.#end.drain(this.#now);
    // Where there is no association, all that is sent is to an address that nobody has validated.
    const isStateless = this.#end.endpoint?.associationCount === 0;
    const answeredBytes = this.#take(answers, ANSWER_BYTES_MAX);
    if (isStateless) {
      const answered = (this.#answered.get(address) ?? 0) + answeredBytes;
      this.#answered.set(address, answered);
      rule(
        answered <= AMPLIFICATION_MAX * (this.#received.get(address) ?? bytes.length),
        "more than three times the bytes to an address that is not validated",
      );
    }
    const events = this.#end.events();
    noteEvents([...events, ...this.#end.otherEvents()], this.#features);
    return events;
  }

  #take(datagrams: readonly Uint8Array[], bytesMax: number): number {
    const bytes = datagrams.reduce((sum, { length }) => sum + length, 0);
    rule(bytes <= bytesMax, `an answer of ${bytes} bytes to one input`);
    rule(datagrams.every(({ length }) => length > 0), "an empty datagram");
    return bytes;
  }

  /** What holds after all steps: what nobody vouched for has done no harm. */
  finish(): FuzzOutcome {
    const { association, endpoint } = this.#end;
    for (const drops of [association?.drops, endpoint?.drops]) {
      for (const name of Object.keys(drops?.snapshot() ?? {})) this.#features.add(name);
    }
    if (association !== undefined && this.#isProtected && this.#isUnauthenticated) {
      while (this.#nextDatagram < this.#recording.datagrams.length) this.#next();
      rule(association.state === "connected", `the association is ${association.state}`);
      this.#exchange();
    }
    return { count: this.#count, features: [...this.#features] };
  }

  /** Data still goes both ways, and once. */
  #exchange(): void {
    const { association } = this.#end;
    const { ownId, peerId, keys, end } = this.#recording;
    const peer = end === "client" ? "server" : "client";
    this.#end.events();
    const content = new Uint8Array([1, 2, 3]);
    const type = ContentType.APPLICATION_DATA;
    const number = this.#nextNumber++;
    const epoch = keys.dataEpoch;
    const record = keys.seal(peer, { epoch, number, type, content, connectionId: ownId });
    for (let i = 0; i < 2; i++) this.#end.handle(record, this.#now);
    const received = this.#end.events();
    const [event] = received;
    rule(
      received.length === 1 && event?.kind === "application-data" &&
        equalBytes(event.bytes, content),
      "a record of the peer arrives once",
    );
    const sent = association!.sealApplicationData(content);
    const opened = keys.open(end, sent, peerId.length);
    rule(
      opened?.type === type && equalBytes(opened.content, content),
      "the peer can open a record",
    );
  }

  destroy(): void {
    this.#end.destroy(this.#now);
  }
}

/** Notes what happened. Whatever a peer sends, an association ends with a typed error, never by its own defect. */
export function noteEvents(events: readonly DtlsEvent[], features: Set<string>): void {
  for (const event of events) {
    if (event.kind !== "failed") {
      features.add(event.kind);
      continue;
    }
    const { error } = event;
    rule(
      error instanceof DtlsFault || error instanceof DtlsAlertError || error instanceof DtlsError,
      "an error without a type",
    );
    if (error instanceof DtlsError) {
      rule(error.reason !== "internal" && error.reason !== "bad-option", error.message);
    }
    features.add(`${error.name} ${error.message.replace(/0x[0-9a-f]+|\d+/g, "N").slice(0, 60)}`);
  }
}
