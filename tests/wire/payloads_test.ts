import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { fromHex } from "../../src/base/bytes.ts";
import { type ControlMap, encodeControl } from "../../src/wire/control.ts";
import { LOCAL_ERRORS, WIRE_ERRORS } from "../../src/wire/error_codes.ts";
import { decodeError, encodeError } from "../../src/wire/error_payload.ts";
import { type ErrorPayload, SqpError } from "../../src/wire/errors.ts";
import {
  decodeHandshakeRequest,
  decodeHandshakeResponse,
  DEFAULT_SESSION_LIMITS,
  encodeHandshakeRequest,
  encodeHandshakeResponse,
  type HandshakeRequest,
  type HandshakeResponse,
} from "../../src/wire/handshake_payload.ts";
import { decodeHeartbeat, encodeHeartbeat } from "../../src/wire/heartbeat_payload.ts";
import { LIMITS } from "../../src/wire/limits.ts";
import { decodeMove, encodeMove, MoveReason, MoveTransport } from "../../src/wire/move_payload.ts";
import { decodeQuery, encodeQuery, type ExecuteCommand } from "../../src/wire/query_payload.ts";
import { decodeResponse, encodeResponse, type Response } from "../../src/wire/response_payload.ts";
import { NO_PARAMS } from "../../src/wire/statement_source.ts";
import {
  decodeTermination,
  encodeTermination,
  type Termination,
} from "../../src/wire/termination_payload.ts";

const REQUEST: HandshakeRequest = {
  versions: [1],
  serialization: ["msgpack"],
  capabilities: ["a", "b"],
  limits: { ...DEFAULT_SESSION_LIMITS, openRequests: 3 },
  credential: { type: "token", token: "t", key: "{}", proof: new Uint8Array([1]) },
  agent: "test 1",
};

const RESPONSE: HandshakeResponse = {
  version: 1,
  serialization: "msgpack",
  capabilities: [],
  sessionId: 2n ** 64n - 1n,
  secret: new Uint8Array(32).fill(7),
  principal: "somebody",
  permissions: ["read"],
  limits: DEFAULT_SESSION_LIMITS,
};

const COMMAND: ExecuteCommand = {
  cmd: "execute",
  sql: "select ?",
  params: new Uint8Array([0x91, 0x01]),
  deadlineMs: 1_000,
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  tracestate: "a=1",
  idempotencyKey: "é",
  urgency: 0,
};

const PAGE: Response = {
  kind: "page",
  columns: [{ name: "a", declaredType: "INTEGER" }, { name: "", declaredType: null }],
  page: new Uint8Array([0x90]),
  changes: 4,
  rowid: -(2n ** 63n),
};

const STREAM: Response = { kind: "stream", columns: [], streamId: 2 ** 32 - 2 };

const ERROR: ErrorPayload = {
  code: 3021,
  name: "constraint_unique",
  message: "text",
  retry: "later",
  afterMs: 250,
  engine: { code: 2067, name: "SQLITE_CONSTRAINT_UNIQUE" },
};

const TERMINATION: Termination = {
  reason: "draining",
  message: "",
  url: "sqp://b",
  drainMs: 5_000,
};

Deno.test("every payload survives, with all its fields and with as few as may be", () => {
  for (
    const credential of [
      REQUEST.credential,
      null,
      { type: "certificate" } as const,
      { type: "unknown", name: "x" } as const,
    ]
  ) {
    const request = { ...REQUEST, credential };
    assertEquals(decodeHandshakeRequest(encodeHandshakeRequest(request)), request);
  }
  assertEquals(decodeHandshakeResponse(encodeHandshakeResponse(RESPONSE)), RESPONSE);
  for (const command of [COMMAND, { cmd: "execute", sql: "", params: NO_PARAMS } as const]) {
    assertEquals(decodeQuery(encodeQuery(command)), command);
  }
  for (const response of [PAGE, { ...PAGE, rowid: null }, STREAM]) {
    assertEquals(decodeResponse(encodeResponse(response)), response);
  }
  for (
    const error of [
      ERROR,
      { ...ERROR, engine: { code: "23505" } },
      { code: 1000, name: "a", message: "", retry: "no" } as const,
    ]
  ) {
    assertEquals(decodeError(encodeError(error)), error);
  }
  for (const termination of [TERMINATION, { reason: "new", message: "m", drainMs: 0 }]) {
    assertEquals(decodeTermination(encodeTermination(termination)), termination);
  }
  for (const paddingBytes of [0, 1, 1_000]) {
    const heartbeat = { kind: 1, token: 2n ** 64n - 1n, paddingBytes } as const;
    assertEquals(decodeHeartbeat(encodeHeartbeat(heartbeat)), heartbeat);
  }
  const move = { transport: MoveTransport.UDP, reason: MoveReason.RECOVERED };
  assertEquals(decodeMove(encodeMove(move)), move);
  assertEquals(decodeMove(encodeMove({ transport: 2, reason: 200 })), {
    transport: 2,
    reason: 200,
  });
});

const DECODERS: readonly (readonly [Uint8Array, (payload: Uint8Array) => unknown])[] = [
  [encodeHandshakeRequest(REQUEST), decodeHandshakeRequest],
  [encodeHandshakeResponse(RESPONSE), decodeHandshakeResponse],
  [encodeQuery(COMMAND), decodeQuery],
  [encodeResponse(PAGE), decodeResponse],
  [encodeResponse(STREAM), decodeResponse],
  [encodeError(ERROR), decodeError],
  [encodeTermination(TERMINATION), decodeTermination],
  [encodeHeartbeat({ kind: 2, token: 5n, paddingBytes: 0 }), decodeHeartbeat],
  [encodeMove({ transport: 1, reason: 0 }), decodeMove],
];

Deno.test("every strict prefix of a payload is refused with a typed error, and no bit flip throws another", () => {
  for (const [payload, decode] of DECODERS) {
    for (let end = 0; end < payload.length; end++) {
      assertThrows(() => decode(payload.subarray(0, end)), DecodeError);
    }
    for (let bit = 0; bit < 8 * payload.length; bit++) {
      const bytes = payload.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      try {
        decode(bytes);
      } catch (error) {
        assertInstanceOf(error, DecodeError);
      }
    }
  }
});

Deno.test("keys that are not known are ignored", () => {
  assertEquals(decodeQuery(encodeControl({ cmd: "execute", sql: "x", later: [1, { a: 2 }] })), {
    cmd: "execute",
    sql: "x",
    params: NO_PARAMS,
  });
});

Deno.test("a tag of a later version is told apart from a malformed payload", () => {
  assertEquals(decodeQuery(encodeControl({ cmd: "replicate" })), {
    cmd: "unknown",
    name: "replicate",
  });
  const request = decodeHandshakeRequest(
    encodeControl({
      versions: [7],
      serialization: ["cbor"],
      credential: { type: "passkey", x: 1 },
    }),
  );
  assertEquals(request.credential, { type: "unknown", name: "passkey" });
  assertEquals(
    decodeError(encodeControl({ code: 8000, name: "new", message: "m", retry: "soon" })).retry,
    "no",
  );
});

Deno.test("limits that are not announced have their defaults, credit stays what it was before", () => {
  const request = decodeHandshakeRequest(
    encodeControl({ versions: [], serialization: [], limits: { idle_ms: 5 } }),
  );
  assertEquals(request.limits, {
    ...DEFAULT_SESSION_LIMITS,
    sessionCredit: 65_536,
    streamCredit: 65_536,
    idleMs: 5,
  });
  assertEquals([request.capabilities, request.credential], [[], null]);
});

Deno.test("malformed payloads are refused", () => {
  const command = (fields: ControlMap) => () =>
    decodeQuery(encodeControl({ cmd: "execute", sql: "x", ...fields }));
  const response = (fields: ControlMap) => () => decodeResponse(encodeControl(fields));
  const error = (fields: ControlMap) => () =>
    decodeError(encodeControl({ code: 1000, name: "a", message: "", retry: "no", ...fields }));
  const request = (fields: ControlMap) => () =>
    decodeHandshakeRequest(encodeControl({ versions: [1], serialization: ["msgpack"], ...fields }));
  for (
    const read of [
      command({ cmd: "" }),
      command({ sql: 1 }),
      command({ params: [] }),
      command({ params: new Uint8Array(0) }),
      command({ deadline_ms: 0 }),
      command({ deadline_ms: 2 ** 31 }),
      command({ key: "" }),
      command({ key: "x".repeat(129) }),
      command({ traceparent: "x".repeat(513) }),
      response({ columns: [] }),
      response({ columns: [], stream: 2, page: new Uint8Array([0x90]) }),
      response({ columns: [], stream: 0 }),
      response({ columns: [], page: new Uint8Array([0x90]) }),
      response({ columns: [[null, null]], stream: 2 }),
      response({ columns: [["a"]], stream: 2 }),
      response({ columns: [["a", null, "b"]], stream: 2 }),
      response({ columns: Array.from({ length: 2_001 }, () => ["a", null]), stream: 2 }),
      error({ code: 0 }),
      error({ code: 999 }),
      error({ code: 9_000 }),
      error({ code: 65_536 }),
      error({ name: "" }),
      error({ after_ms: -1 }),
      error({ engine: {} }),
      request({ versions: [0] }),
      request({ versions: new Array(65).fill(1) }),
      request({ versions: ["1"] }),
      request({ serialization: [""] }),
      request({ credential: {} }),
      request({ credential: { type: "token" } }),
      request({ credential: { type: "token", token: "t", proof: "text" } }),
      request({ limits: { open_requests: 0 } }),
      request({ agent: "x".repeat(257) }),
      request({ capabilities: "a" }),
      () =>
        decodeHandshakeRequest(
          encodeControl({ versions: [1], serialization: ["msgpack"], pad: "x".repeat(8_192) }),
        ),
      () => decodeHandshakeResponse(encodeHandshakeResponse({ ...RESPONSE, sessionId: 0n })),
      () =>
        decodeHandshakeResponse(
          encodeHandshakeResponse({ ...RESPONSE, secret: new Uint8Array(31) }),
        ),
      () => decodeTermination(encodeControl({ reason: "", message: "", drain_ms: 0 })),
      () => decodeTermination(encodeControl({ reason: "idle", message: "", drain_ms: -1 })),
      () => decodeHeartbeat(fromHex("03 0000000000000001")),
      () => decodeHeartbeat(fromHex("01 0000000000000001 0001")),
      () => decodeMove(fromHex("0300")),
      () => decodeMove(fromHex("020000")),
    ]
  ) assertThrows(read, DecodeError, undefined, String(read));
});

Deno.test("an Error or Termination fits one frame of the smallest packet, whatever its texts are", () => {
  const long = "€".repeat(10_000);
  const error = encodeError({
    code: 65_535,
    name: long,
    message: long,
    retry: "reconnect",
    afterMs: 1e12,
    engine: { code: long, name: long },
  });
  // A StreamEnd has 12 bytes before it.
  assert(error.length <= LIMITS.wholePayloadBytesMax - 12, `${error.length}`);
  assertEquals(decodeError(error).message, "€".repeat(170));
  const url = "x".repeat(LIMITS.urlBytesMax);
  const termination = encodeTermination({ reason: long, message: long, url, drainMs: Infinity });
  assert(termination.length <= LIMITS.wholePayloadBytesMax, `${termination.length}`);
  assertEquals(decodeTermination(termination).url, url);
  assertEquals(
    decodeTermination(encodeTermination({ ...TERMINATION, url: url + "x" })).url,
    undefined,
  );
});

Deno.test("an error of the local group never travels", () => {
  const secret = new SqpError("bad_configuration", { message: "a secret path" }).toPayload();
  assertEquals(decodeError(encodeError(secret)), new SqpError("internal").toPayload());
});

Deno.test("an error is the same on both sides", () => {
  const error = new SqpError("database_busy", {
    afterMs: 5,
    engine: { code: 5 },
    cause: new Error("local"),
  });
  const received = new SqpError(decodeError(encodeError(error.toPayload())));
  assertEquals(received.toPayload(), error.toPayload());
  assertEquals([received.cause, received.name, received.codeName], [
    undefined,
    "SqpError",
    "database_busy",
  ]);
  assertEquals(new SqpError("syntax", { message: "near x", retry: "now" }).toPayload(), {
    code: 3002,
    name: "syntax",
    message: "near x",
    retry: "now",
  });
});

Deno.test("numbers and names of errors are unique, and each stands in its group", () => {
  const all = { ...WIRE_ERRORS, ...LOCAL_ERRORS };
  const names = [...Object.keys(WIRE_ERRORS), ...Object.keys(LOCAL_ERRORS)];
  const codes = Object.values(all).map((entry) => entry.code);
  assertEquals(new Set(names).size, names.length);
  assertEquals(new Set(codes).size, names.length);
  assert(Object.values(WIRE_ERRORS).every(({ code }) => code >= 1000 && code < 7000));
  assert(Object.values(LOCAL_ERRORS).every(({ code }) => code >= 9000 && code < 10_000));
  assert(
    names.every((name) => /^[a-z0-9_]+$/.test(name) && name.length <= LIMITS.errorNameBytesMax),
  );
});

Deno.test("what the decoder refuses the encoder does not send", () => {
  for (
    const command of [{ ...COMMAND, deadlineMs: 0 }, { ...COMMAND, deadlineMs: NaN }, {
      ...COMMAND,
      idempotencyKey: "x".repeat(129),
    }, { ...COMMAND, idempotencyKey: "" }]
  ) {
    assertEquals(assertThrows(() => encodeQuery(command), SqpError).codeName, "bad_request");
  }
  const large = { ...REQUEST, credential: { type: "token", token: "x".repeat(8_192) } } as const;
  assertEquals(
    assertThrows(() => encodeHandshakeRequest(large), SqpError).codeName,
    "message_too_large",
  );
});
