// Records: the replay window, cut numbers, headers of every form, and what is no record (RFC 9147 section 4).

import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { concatBytes } from "../../src/base/bytes.ts";
import { Counters } from "../../src/base/counters.ts";
import { suiteParameters } from "../../src/dtls/cipher_suites.ts";
import { ContentType } from "../../src/dtls/code_points.ts";
import { ReceiveConnectionIds } from "../../src/dtls/connection_ids.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import { DtlsError, DtlsFault } from "../../src/dtls/errors.ts";
import { trafficKeys } from "../../src/dtls/key_schedule.ts";
import { DTLS_LIMITS, type DtlsLimits } from "../../src/dtls/limits.ts";
import {
  type DtlsDropReason,
  type OpenedRecord,
  RecordLayer,
} from "../../src/dtls/record_layer.ts";
import {
  type CiphertextKeys,
  CiphertextOpener,
  CiphertextSealer,
} from "../../src/dtls/record_protection_13.ts";
import { ReplayWindow } from "../../src/dtls/replay_window.ts";
import { plaintextRecord, type RecordForm, RecordKit } from "../harness/dtls_records.ts";
import { closeAfterTest } from "../harness/dtls_pair.ts";

const SUITES = [0x1301, 0x1302, 0x1303] as const;
const DATA = ContentType.APPLICATION_DATA;

function recordKeys(secret: Uint8Array, suite: number): CiphertextKeys {
  const { aead, hash } = suiteParameters(suite)!;
  const keys = trafficKeys({ provider: nodeProvider, aead, hash }, secret);
  return {
    aead: nodeProvider.aead(aead, keys.key),
    numberCipher: nodeProvider.recordNumberCipher(aead, keys.recordNumberKey),
    iv: keys.iv,
  };
}

/** A receiver with keys for epochs, and a sender that may use them in any form. */
class Receiver {
  readonly drops = new Counters<DtlsDropReason>();
  readonly records: RecordLayer;
  readonly opened: OpenedRecord[] = [];
  now = 0;
  readonly #kits = new Map<number, RecordKit>();
  readonly #suite: number;
  readonly #windowRecords: number;

  constructor(
    epochs: readonly number[] = [3],
    suite = 0x1301,
    windowRecords = 64,
    limits: Partial<DtlsLimits> = {},
  ) {
    this.records = new RecordLayer({ ...DTLS_LIMITS, ...limits }, this.drops);
    this.#suite = suite;
    this.#windowRecords = windowRecords;
    for (const epoch of epochs) this.addEpoch(epoch);
    closeAfterTest({ close: () => this.records.destroy() });
  }

  addEpoch(epoch: number): void {
    const secret = new Uint8Array(this.#suite === 0x1302 ? 48 : 32).fill(epoch);
    const keys = recordKeys(secret, this.#suite);
    this.records.addOpener(new CiphertextOpener(epoch, keys, this.#windowRecords));
    this.#kits.set(epoch, new RecordKit(secret, this.#suite));
  }

  seal(form: Partial<RecordForm> & { readonly number: number }): Uint8Array {
    const whole = { epoch: 3, type: DATA, content: new Uint8Array([form.number]), ...form };
    return this.#kits.get(whole.epoch)!.seal(whole);
  }

  /** Opens a datagram; the numbers of the records that came out of it. */
  receive(...records: Uint8Array[]): number[] {
    const before = this.opened.length;
    this.records.openDatagram(
      concatBytes(...records),
      this.now,
      (record) => this.opened.push(record),
    );
    return this.opened.slice(before).map(({ recordNumber }) => recordNumber);
  }
}

Deno.test("the replay window agrees with a set, whatever comes in whatever order", () => {
  const jump = fc.oneof(fc.integer({ min: -80, max: 80 }), fc.integer({ min: -5_000, max: 5_000 }));
  fc.assert(
    fc.property(fc.array(jump, { maxLength: 200 }), (jumps) => {
      const window = new ReplayWindow(64);
      const seen = new Set<number>();
      let at = 0;
      for (const by of jumps) {
        at = Math.max(0, at + by);
        const next = Math.max(-1, ...seen) + 1;
        const expected = at < next - 64 ? "too-old" : seen.has(at) ? "replay" : "new";
        assertEquals(window.check(at), expected);
        assertEquals(window.check(at), expected, "looking changes nothing");
        if (expected === "new") {
          window.accept(at);
          seen.add(at);
        }
        assertEquals(window.next, Math.max(-1, ...seen) + 1);
      }
    }),
    { numRuns: 300, seed: 1 },
  );
});

for (const suite of SUITES) {
  Deno.test(`records of every form open, suite ${suite.toString(16)}`, () => {
    const receiver = new Receiver([3], suite);
    let number = 0;
    for (const isShort of [false, true]) {
      for (const isLast of [false, true]) {
        for (const paddingBytes of [0, 1, 100]) {
          for (const length of [0, 1, 1_000]) {
            const content = new Uint8Array(length).fill(0x55);
            const record = receiver.seal({ number, isShort, isLast, paddingBytes, content });
            assertEquals(receiver.receive(record), [number++]);
            assertEquals(receiver.opened.at(-1)!.content, content);
          }
        }
      }
    }
    assertEquals(receiver.drops.total(), 0);
  });
}

for (const [bits, isShort] of [[8, true], [16, false]] as const) {
  Deno.test(
    `"the full sequence number which is numerically closest to ` +
      `one plus [...] the highest": ${bits} bits`,
    () => {
      const modulus = 2 ** bits;
      for (const highest of [0, modulus - 2, modulus - 1, modulus, 3 * modulus + 5]) {
        for (const by of [-modulus / 2 + 1, -60, -2, 0, 1, 30, modulus / 2 - 1]) {
          const number = highest + 1 + by;
          if (number < 0 || number === highest) continue;
          const receiver = new Receiver([3], 0x1301, 2 ** 16);
          // What is far is reached in steps of less than half of the 16 bits.
          for (let at = 0; at < highest; at += 30_000) {
            receiver.receive(receiver.seal({ number: at }));
          }
          receiver.receive(receiver.seal({ number: highest }));
          const opened = receiver.receive(receiver.seal({ number, isShort }));
          assertEquals(opened, [number], `${highest} and ${by}`);
        }
      }
    },
  );
}

Deno.test("a record number of 8 bits goes on over many wraps", () => {
  const receiver = new Receiver();
  for (let number = 0; number < 2_000; number += 100) {
    assertEquals(receiver.receive(receiver.seal({ number, isShort: true })), [number]);
  }
});

Deno.test("several records of several epochs in one datagram, the last without a length", () => {
  const receiver = new Receiver([2, 3]);
  const datagram = [
    receiver.seal({ epoch: 2, number: 0 }),
    receiver.seal({ number: 0 }),
    receiver.seal({ number: 1, isShort: true }),
    receiver.seal({ epoch: 2, number: 1, isLast: true }),
  ];
  assertEquals(receiver.receive(...datagram), [0, 0, 1, 1]);
  assertEquals(receiver.opened.map(({ epoch }) => epoch), [2, 3, 3, 2]);
});

Deno.test("a record that does not open does not take the rest of its datagram with it", () => {
  const receiver = new Receiver();
  const bad = receiver.seal({ number: 0 });
  bad[bad.length - 1]! ^= 1;
  assertEquals(receiver.receive(bad, receiver.seal({ number: 1 })), [1]);
  assertEquals(receiver.drops.snapshot(), { "bad-tag": 1 });
});

Deno.test(
  '"The window MUST NOT be updated due to a received record until ' +
    'that record has been deprotected successfully"',
  () => {
    const receiver = new Receiver();
    receiver.receive(receiver.seal({ number: 0 }));
    const far = receiver.seal({ number: 20_000 });
    far[far.length - 1]! ^= 1;
    assertEquals(receiver.receive(far), []);
    assertEquals(receiver.receive(receiver.seal({ number: 1 })), [1]);
  },
);

Deno.test("a replay and a record behind the window are dropped, and counted apart", () => {
  const receiver = new Receiver();
  const first = receiver.seal({ number: 0 });
  assertEquals([receiver.receive(first), receiver.receive(first)], [[0], []]);
  receiver.receive(receiver.seal({ number: 100 }));
  assertEquals(receiver.receive(receiver.seal({ number: 35 })), []);
  assertEquals(receiver.receive(receiver.seal({ number: 37 })), [37]);
  assertEquals(receiver.drops.snapshot(), { "replay": 1, "too-old": 1 });
});

Deno.test("each epoch has a window of its own", () => {
  const receiver = new Receiver([2, 3]);
  assertEquals(receiver.receive(receiver.seal({ epoch: 2, number: 5 })), [5]);
  assertEquals(receiver.receive(receiver.seal({ number: 5 })), [5]);
});

Deno.test('"the most recent past epoch which has matching bits", and none for epochs without keys', () => {
  const receiver = new Receiver([2, 3, 6]);
  assertEquals(receiver.receive(receiver.seal({ epoch: 6, number: 0 })), [0]);
  assertEquals(receiver.opened.at(-1)!.epoch, 6);
  // Its bits are those of epoch 6 now.
  assertEquals(receiver.receive(receiver.seal({ epoch: 2, number: 0 })), []);
  const unknown = receiver.seal({ number: 0 });
  unknown[0] = (unknown[0]! & 0xfc) | 1;
  assertEquals(receiver.receive(unknown), []);
  assertEquals(receiver.drops.snapshot(), { "bad-tag": 1, "unknown-epoch": 1 });
});

Deno.test("keys of an epoch go a while after the first record of a newer one, each at its own time", () => {
  const receiver = new Receiver([3, 4]);
  const { oldEpochMs } = DTLS_LIMITS;
  receiver.receive(receiver.seal({ epoch: 3, number: 0 }));
  assertEquals(receiver.records.oldEpochsUntil, Infinity);
  receiver.now = 1_000;
  receiver.receive(receiver.seal({ epoch: 4, number: 0 }));
  receiver.addEpoch(5);
  receiver.now = 5_000;
  receiver.receive(receiver.seal({ epoch: 5, number: 0 }));
  receiver.records.dropOldEpochs(1_000 + oldEpochMs - 1);
  assertEquals(receiver.receive(receiver.seal({ epoch: 3, number: 1 })), [1]);
  assertEquals(receiver.records.oldEpochsUntil, 1_000 + oldEpochMs);
  receiver.records.dropOldEpochs(1_000 + oldEpochMs);
  assertEquals(receiver.receive(receiver.seal({ epoch: 3, number: 2 })), []);
  assertEquals(receiver.receive(receiver.seal({ epoch: 4, number: 1 })), [1]);
  receiver.records.dropOldEpochs(5_000 + oldEpochMs);
  assertEquals(receiver.receive(receiver.seal({ epoch: 4, number: 2 })), []);
  assertEquals(receiver.receive(receiver.seal({ epoch: 5, number: 1 })), [1]);
  assertEquals(receiver.records.oldEpochsUntil, Infinity);
});

Deno.test("at most three epochs before the newest have keys: a header has two bits of the epoch", () => {
  const receiver = new Receiver([3, 4, 5, 6]);
  assertEquals(receiver.receive(receiver.seal({ epoch: 3, number: 0 })), [0]);
  receiver.addEpoch(7);
  assertEquals(receiver.receive(receiver.seal({ epoch: 3, number: 1 })), []);
  assertEquals(receiver.receive(receiver.seal({ epoch: 4, number: 0 })), [0]);
});

Deno.test("forged records: of the newest epoch an error at the limit, of an earlier one its keys go", () => {
  const receiver = new Receiver([3, 4], 0x1301, 64, { forgedRecordsMax: 3 });
  const forge = (epoch: number, number: number) => {
    const record = receiver.seal({ epoch, number });
    record[record.length - 1]! ^= 1;
    return receiver.receive(record);
  };
  for (let number = 0; number < 2; number++) forge(3, number);
  assertEquals(receiver.receive(receiver.seal({ epoch: 3, number: 9 })), [9]);
  forge(3, 2);
  assertEquals(receiver.receive(receiver.seal({ epoch: 3, number: 10 })), []);
  assertEquals(receiver.drops.snapshot(), { "bad-tag": 3, "unknown-epoch": 1 });
  for (let number = 0; number < 2; number++) forge(4, number);
  assertEquals(receiver.records.forgedUse, { records: 2, recordsMax: 3 });
  // A replay was never opened: it is no attempt to forge.
  const good = receiver.seal({ epoch: 4, number: 5 });
  receiver.receive(good);
  receiver.receive(good);
  assertEquals(assertThrows(() => forge(4, 2), DtlsError).reason, "forgery-limit");
});

Deno.test("only records with the connection ID that was agreed on; another one ends the datagram", () => {
  const receiver = new Receiver();
  const connectionId = new Uint8Array([1, 2, 3]);
  receiver.records.beginConnectionIds(
    new ReceiveConnectionIds(connectionId, undefined, 1),
    new Uint8Array(0),
  );
  const good = (number: number) => receiver.seal({ number, connectionId });
  const other = receiver.seal({ number: 7, connectionId: new Uint8Array([1, 2, 4]) });
  assertEquals(receiver.receive(good(0), good(1)), [0, 1]);
  assertEquals(receiver.receive(good(2), other, good(3)), [2]);
  assertEquals(receiver.receive(receiver.seal({ number: 4 })), []);
  assertEquals(receiver.drops.snapshot(), { "connection-id": 2 });
});

Deno.test("what is no record is dropped: too short, a length past the end, an unknown first byte", () => {
  const receiver = new Receiver();
  const record = receiver.seal({ number: 0 });
  const past = record.slice();
  past[4]! += 1;
  const short = new Uint8Array([0x2f, 0, 0, 0, 15, ...new Uint8Array(15)]);
  for (
    const bytes of [
      past,
      short,
      record.subarray(0, 3),
      new Uint8Array([0x80, 1]),
      new Uint8Array(13).fill(99),
    ]
  ) {
    assertEquals(receiver.receive(bytes), []);
  }
  assertEquals(receiver.drops.snapshot(), { "malformed-record": 5 });
  assertEquals(receiver.receive(record), [0]);
});

Deno.test("plaintext records of any epoch but 0 are dropped", () => {
  const receiver = new Receiver();
  for (const epoch of [1, 2, 3, 200]) {
    assertEquals(
      receiver.receive(plaintextRecord(ContentType.ALERT, new Uint8Array(2), 0, epoch)),
      [],
    );
  }
  assertEquals(receiver.drops.snapshot(), { "unknown-epoch": 4 });
});

Deno.test(
  '"If a receiving implementation does not find a non-zero octet in ' +
    'the cleartext, it MUST terminate the connection"',
  () => {
    for (const paddingBytes of [0, 30]) {
      const receiver = new Receiver();
      const record = receiver.seal({
        number: 0,
        type: 0,
        content: new Uint8Array(0),
        paddingBytes,
      });
      const fault = assertThrows(() => receiver.receive(record), DtlsFault);
      assertEquals(fault.reason, "unexpected-message");
    }
  },
);

Deno.test("a record carries 2^14 bytes, and one more is a record_overflow", () => {
  const receiver = new Receiver();
  assertEquals(receiver.receive(receiver.seal({ number: 0, content: new Uint8Array(2 ** 14) })), [
    0,
  ]);
  const large = receiver.seal({ number: 1, content: new Uint8Array(2 ** 14 + 1) });
  assertEquals(assertThrows(() => receiver.receive(large), DtlsFault).reason, "record-overflow");
});

for (const suite of SUITES) {
  Deno.test(
    `what is sealed opens, and is what another implementation of ` +
      `the header seals, suite ${suite.toString(16)}`,
    () => {
      const secret = new Uint8Array(suite === 0x1302 ? 48 : 32).fill(3);
      const parameters = suiteParameters(suite)!;
      const connectionId = new Uint8Array([9, 8, 7, 6]);
      const sealer = new CiphertextSealer(3, parameters, recordKeys(secret, suite), connectionId);
      closeAfterTest({ close: () => sealer.destroy() });
      const kit = new RecordKit(secret, suite);
      for (let number = 0; number < 300; number++) {
        const content = new Uint8Array(number % 40).fill(number);
        const datagram = new Uint8Array(content.length + sealer.overheadBytes);
        assertEquals(sealer.seal(datagram, 0, DATA, content), datagram.length);
        assertEquals(datagram, kit.seal({ epoch: 3, number, type: DATA, content, connectionId }));
      }
    },
  );
}

Deno.test("a key seals as many records as it may, and not one more; each has a number of its own", () => {
  const secret = new Uint8Array(32).fill(3);
  const parameters = { ...suiteParameters(0x1301)!, sealedRecordsMax: 3 };
  const sealer = new CiphertextSealer(3, parameters, recordKeys(secret, 0x1301), new Uint8Array(0));
  closeAfterTest({ close: () => sealer.destroy() });
  const datagram = new Uint8Array(100);
  for (let number = 0; number < 3; number++) {
    assertEquals(sealer.nextRecordNumber, number);
    sealer.seal(datagram, 0, DATA, new Uint8Array(1));
  }
  const error = assertThrows(() => sealer.seal(datagram, 0, DATA, new Uint8Array(1)), DtlsError);
  assertEquals(error.reason, "key-exhausted");
});

Deno.test("the limits of RFC 9147 section 4.5.3 and RFC 8446 section 5.5", () => {
  assertEquals(SUITES.map((suite) => suiteParameters(suite)!.sealedRecordsMax), [
    Math.floor(2 ** 24.5),
    Math.floor(2 ** 24.5),
    2 ** 48 - 1,
  ]);
  assert(DTLS_LIMITS.replayWindowRecords === 4_096);
});
