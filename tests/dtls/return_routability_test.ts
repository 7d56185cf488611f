// The return routability check (RFC 9853), without records: paths are names, time is a number.

import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { NEVER } from "../../src/base/core.ts";
import { Counters } from "../../src/base/counters.ts";
import {
  decodeRoutabilityMessage,
  encodeRoutabilityMessage,
  type PathMessage,
  type PathRecord,
  PathValidation,
  type RoutabilityCheck,
  type RoutabilityCount,
  RoutabilityType,
} from "../../src/dtls/return_routability.ts";
import { Random } from "../harness/random.ts";

const { PATH_CHALLENGE, PATH_RESPONSE, PATH_DROP } = RoutabilityType;

/** What a record with one message of a check is long. */
const RECORD_BYTES = 40;
const ROUND_TRIP_MS = 100;

/** A challenge of the other side. */
const ASK = { type: PATH_CHALLENGE, cookie: new Uint8Array(8).fill(7) };

/** One side of a check in virtual time. */
class Lab {
  readonly counts = new Counters<RoutabilityCount>();
  readonly validation: PathValidation;
  now = 0;

  constructor(check: RoutabilityCheck, path = "old", seed = 1) {
    this.validation = new PathValidation(path, check, new Random(seed).entropy(), this.counts);
  }

  /** A record arrives, newest of all and of 100 bytes unless told otherwise. */
  receive(path: string, about: Partial<PathRecord> = {}): this {
    const record = { path, lengthBytes: 100, isNewest: true, isCheck: false, ...about };
    this.validation.onRecord(record, ROUND_TRIP_MS, this.now);
    return this;
  }

  /** All that is to be sent now. */
  poll(): PathMessage[] {
    const messages: PathMessage[] = [];
    for (let sent; (sent = this.validation.poll(RECORD_BYTES, this.now)) !== undefined;) {
      messages.push(sent);
    }
    return messages;
  }

  /** All that is sent until a time, timers included: where to, and when. */
  advance(untilMs: number): string[] {
    const seen: string[] = [];
    for (let turn = 0; turn < 100; turn++) {
      for (const { path } of this.poll()) seen.push(`${path}@${this.now}`);
      const next = this.validation.pollTimeout();
      if (next > untilMs) break;
      this.now = next;
      this.validation.handleTimeout(this.now);
    }
    this.now = untilMs;
    return seen;
  }

  /** Answers a message from a path. */
  answer(
    challenge: PathMessage,
    path: string,
    type: typeof PATH_RESPONSE | typeof PATH_DROP,
  ): void {
    const { cookie } = decodeRoutabilityMessage(challenge.content)!;
    const content = encodeRoutabilityMessage({ type, cookie });
    this.validation.onMessage(content, path, this.now);
  }

  /** The one challenge that is to be sent now. */
  challenge(): PathMessage {
    const [challenge, ...others] = this.poll();
    assertEquals(others, []);
    assertEquals(decodeRoutabilityMessage(challenge!.content)!.type, PATH_CHALLENGE);
    return challenge!;
  }
}

Deno.test("a message: a type and a cookie of 8 bytes; an unknown type is ignored, a wrong length is not", () => {
  const types = fc.constantFrom(PATH_CHALLENGE, PATH_RESPONSE, PATH_DROP);
  const cookies = fc.uint8Array({ minLength: 8, maxLength: 8 });
  fc.assert(fc.property(types, cookies, (type, cookie) => {
    const content = encodeRoutabilityMessage({ type, cookie });
    assertEquals(decodeRoutabilityMessage(content), { type, cookie });
    for (let end = 0; end < content.length; end++) {
      assertThrows(() => decodeRoutabilityMessage(content.subarray(0, end)), DecodeError);
    }
    assertThrows(() => decodeRoutabilityMessage(new Uint8Array([...content, 0])), DecodeError);
  }));
  assertEquals(decodeRoutabilityMessage(new Uint8Array([3])), undefined);
  assertEquals(decodeRoutabilityMessage(new Uint8Array(40).fill(255)), undefined);
});

Deno.test("basic: the new address is asked, and counts once it answers", () => {
  const lab = new Lab("basic").receive("new");
  const challenge = lab.challenge();
  assertEquals([challenge.path, lab.validation.path], ["new", "old"]);
  lab.answer(challenge, "new", PATH_RESPONSE);
  assertEquals(lab.validation.path, "new");
  assertEquals(lab.validation.pollTimeout(), NEVER);
  assertEquals(lab.counts.snapshot(), { moved: 1 });
});

Deno.test("enhanced, the old path dead (NAT rebinding): after T the new address is asked", () => {
  const lab = new Lab("enhanced").receive("new");
  assertEquals(lab.advance(299), ["old@0", "old@100", "old@200"]);
  lab.now = 300;
  lab.validation.handleTimeout(300);
  lab.answer(lab.challenge(), "new", PATH_RESPONSE);
  assertEquals(lab.validation.path, "new");
});

Deno.test("enhanced, the old path alive and not preferred: a path_drop leads to the new address", () => {
  const lab = new Lab("enhanced").receive("new");
  const first = lab.challenge();
  assertEquals(first.path, "old");
  lab.receive("old", { isCheck: true });
  lab.answer(first, "old", PATH_DROP);
  const second = lab.challenge();
  assertEquals(second.path, "new");
  lab.answer(second, "new", PATH_RESPONSE);
  assertEquals(lab.validation.path, "new");
});

Deno.test("enhanced, the old path alive and preferred (records forwarded): it stays", () => {
  const lab = new Lab("enhanced").receive("attacker");
  lab.answer(lab.challenge(), "old", PATH_RESPONSE);
  assertEquals([lab.validation.path, lab.validation.candidate], ["old", undefined]);
  assertEquals(lab.counts.snapshot(), { kept: 1 });
  // The next forwarded record begins nothing for as long as the check took at most.
  assertEquals(lab.receive("attacker").poll(), []);
  lab.now = 300;
  assertEquals(lab.receive("attacker").challenge().path, "old");
});

Deno.test("enhanced: the old path's answer counts when its copy is forwarded faster", () => {
  const lab = new Lab("enhanced").receive("attacker");
  lab.answer(lab.challenge(), "attacker", PATH_RESPONSE);
  assertEquals([lab.validation.path, lab.validation.candidate], ["old", undefined]);
});

Deno.test("a newer record on the path in use ends the check of another", () => {
  for (const check of ["basic", "enhanced"] as const) {
    const lab = new Lab(check).receive("attacker").receive("old");
    assertEquals([lab.validation.candidate, lab.poll()], [undefined, []]);
    assertEquals(
      new Lab(check).receive("new").receive("old", { isNewest: false }).poll().length,
      1,
    );
  }
});

Deno.test("an older record, overtaken or replayed, begins no check", () => {
  const lab = new Lab("basic").receive("new", { isNewest: false });
  assertEquals([lab.validation.candidate, lab.poll()], [undefined, []]);
});

Deno.test("nobody at the new address: three challenges, then nothing changes", () => {
  const lab = new Lab("basic").receive("victim");
  assertEquals(lab.advance(10_000), ["victim@0", "victim@100", "victim@200"]);
  assertEquals([lab.validation.path, lab.validation.candidate], ["old", undefined]);
  assertEquals(lab.counts.snapshot(), { unanswered: 1 });
});

Deno.test("at most three times the received bytes go to a new address, over the whole check", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 16 }), { minLength: 10, maxLength: 40 });
  fc.assert(fc.property(sizes, (sizes) => {
    const lab = new Lab("basic");
    let received = 0;
    let sent = 0;
    for (const lengthBytes of sizes) {
      received += lengthBytes;
      lab.receive("new", { lengthBytes });
      sent += RECORD_BYTES * lab.advance(lab.now + 40).length;
      if (sent > 3 * received) throw new Error(`${sent} bytes for ${received}`);
      if (lab.validation.candidate === undefined) return;
    }
  }));
  // An answer counts as well.
  const asked = new Lab("basic").receive("new", { lengthBytes: RECORD_BYTES, isCheck: true });
  asked.validation.onMessage(encodeRoutabilityMessage(ASK), "new", 0);
  assertEquals(asked.advance(999), ["new@0", "new@0", "new@100"]);
  // A check that waits for bytes does not wake its owner for nothing.
  const lab = new Lab("basic").receive("new", { lengthBytes: 13 });
  assertEquals(lab.advance(999), []);
  assertEquals(lab.receive("new", { lengthBytes: 1 }).advance(999), ["new@999"]);
});

Deno.test("one candidate at a time; an answer from elsewhere, or with another cookie, counts for nothing", () => {
  const lab = new Lab("basic").receive("new").receive("other");
  const challenge = lab.challenge();
  lab.answer(challenge, "old", PATH_RESPONSE);
  lab.answer(challenge, "other", PATH_RESPONSE);
  lab.answer(challenge, "new", PATH_DROP);
  const cookie = new Uint8Array(8);
  const forged = encodeRoutabilityMessage({ type: PATH_RESPONSE, cookie });
  lab.validation.onMessage(forged, "new", 0);
  assertEquals([lab.validation.path, lab.validation.candidate], ["old", "new"]);
  assertEquals(lab.counts.get("unmatched-answer"), 4);
  lab.answer(challenge, "new", PATH_RESPONSE);
  lab.answer(challenge, "new", PATH_RESPONSE);
  assertEquals(lab.counts.snapshot(), { "unmatched-answer": 5, moved: 1 });
});

Deno.test("each challenge has a cookie of its own, and each of them is answered for", () => {
  const lab = new Lab("basic").receive("new");
  const first = lab.challenge();
  lab.now = 100;
  lab.validation.handleTimeout(100);
  assertNotEquals(lab.challenge().content, first.content);
  lab.answer(first, "new", PATH_RESPONSE);
  assertEquals(lab.validation.path, "new");
});

Deno.test("a cookie of a check that is over, or of the old path, opens nothing", () => {
  const lab = new Lab("enhanced").receive("new");
  const stale = lab.challenge();
  lab.advance(300);
  lab.answer(stale, "new", PATH_RESPONSE);
  assertEquals(lab.validation.path, "old");
  lab.advance(10_000);
  lab.receive("new");
  lab.answer(stale, "old", PATH_RESPONSE);
  assertEquals(lab.validation.candidate, "new");
});

Deno.test("the one who is asked answers each challenge once, at once, to where it came from", () => {
  const lab = new Lab("enhanced", "here");
  const asker = new Lab("basic", "there", 2).receive("here");
  const { content } = asker.challenge();
  lab.validation.onMessage(content, "here", 0);
  lab.validation.onMessage(content, "elsewhere", 0);
  const answers = lab.poll();
  assertEquals(answers.map(({ path }) => path), ["here", "elsewhere"]);
  for (const answer of answers) {
    const { type, cookie } = decodeRoutabilityMessage(answer.content)!;
    assertEquals([type, cookie], [PATH_RESPONSE, content.subarray(1)]);
  }
});

Deno.test("answers that wait are bounded; the newest are kept", () => {
  const lab = new Lab("basic");
  for (let n = 0; n < 100; n++) {
    const cookie = new Uint8Array(8).fill(n);
    const challenge = encodeRoutabilityMessage({ type: PATH_CHALLENGE, cookie });
    lab.validation.onMessage(challenge, "old", 0);
  }
  assertEquals(lab.poll().map(({ content }) => content[1]), [92, 93, 94, 95, 96, 97, 98, 99]);
});

Deno.test("who has changed its path says so: path_drop on the old one, and a challenge on the new", () => {
  const lab = new Lab("enhanced", "wifi");
  lab.validation.changePath("mobile", ROUND_TRIP_MS, 0);
  const own = lab.challenge();
  assertEquals([own.path, lab.validation.path], ["mobile", "mobile"]);
  const challenge = encodeRoutabilityMessage(ASK);
  for (const path of ["wifi", "mobile"]) lab.validation.onMessage(challenge, path, 0);
  assertEquals(
    lab.poll().map(({ path, content }) => [path, content[0]]),
    [["wifi", PATH_DROP], ["mobile", PATH_RESPONSE]],
  );
  lab.answer(own, "mobile", PATH_RESPONSE);
  assertEquals([lab.validation.candidate, lab.validation.pollTimeout()], [undefined, NEVER]);
  // What the peer still sends to the old path is no reason to go back.
  assertEquals(lab.receive("wifi").validation.candidate, undefined);
});
