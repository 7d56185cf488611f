import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { decode as msgpackDecode } from "@msgpack/msgpack";
import * as fc from "fast-check";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { decodeParams, encodeParams } from "../../src/wire/params.ts";
import type { SqlParams, SqlValue } from "../../src/wire/value.ts";
import { engineValues, SEEDED } from "./values.ts";

/** What an engine binds of a parameter: an integer as `bigint`, a float as `number`. */
function bound(value: SqlValue): SqlValue {
  if (typeof value !== "number") return value;
  return Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value;
}

Deno.test("parameters of every kind survive, by position and by name", () => {
  fc.assert(
    fc.property(fc.array(engineValues, { maxLength: 20 }), (values) => {
      assertEquals(decodeParams(encodeParams(values)), {
        kind: "positional",
        values: values.map(bound),
      });
      const named = Object.fromEntries(values.map((value, index) => [`name${index}`, value]));
      const decoded = decodeParams(encodeParams(named));
      // An empty object is a map without entries.
      assertEquals(decoded, {
        kind: "named",
        values: new Map(Object.entries(named).map(([name, value]) => [name, bound(value)])),
      });
    }),
    { ...SEEDED, numRuns: 300 },
  );
});

Deno.test("a number that is a safe integer and not -0 is an integer, any other is a float", () => {
  assertEquals(
    toHex(encodeParams([1, -0, 1.5, 2 ** 53, 5n])),
    "95" + "01" + "cb8000000000000000" + "cb3ff8000000000000" + "cb4340000000000000" + "05",
  );
  assertEquals(msgpackDecode(encodeParams({ a: 1, __proto__x: null })), { a: 1, __proto__x: null });
});

Deno.test("what is no parameter is refused with a typed error that names it", () => {
  const refused: [unknown, string, string][] = [
    [[undefined], "parameter_type", "Parameter 1 is of type undefined, which is not supported."],
    // deno-lint-ignore no-sparse-arrays
    [[1, , 2], "parameter_type", "Parameter 2 is of type undefined, which is not supported."],
    [[{}], "parameter_type", "Parameter 1 is of type Object, which is not supported."],
    [[[1]], "parameter_type", "Parameter 1 is of type Array, which is not supported."],
    [
      [Object.create(null)],
      "parameter_type",
      "Parameter 1 is of type object, which is not supported.",
    ],
    [[Symbol()], "parameter_type", "Parameter 1 is of type symbol, which is not supported."],
    [
      [new Float64Array(1)],
      "parameter_type",
      "Parameter 1 is of type Float64Array, which is not supported.",
    ],
    [[2n ** 63n], "parameter_range", "Parameter 1 exceeds 64 bits."],
    [[new Date(NaN)], "parameter_range", "Parameter 1 is an invalid Date."],
    [{ a: "\udc00" }, "text_not_unicode", "Parameter a holds a lone surrogate."],
    [{ "": 1 }, "parameter_name", "A parameter name is not of 1 to 128 bytes."],
    [{ ["é".repeat(65)]: 1 }, "parameter_name", "A parameter name is not of 1 to 128 bytes."],
    [{ "\ud800": 1 }, "parameter_name", "A parameter name is not of 1 to 128 bytes."],
    [new Array(32_767).fill(1), "too_many_parameters", "The command has too many parameters."],
  ];
  for (const [params, name, message] of refused) {
    const error = assertThrows(() => encodeParams(params as SqlParams), SqpError);
    assertEquals([error.codeName, error.message], [name, message]);
  }
});

Deno.test("malformed parameters are a DecodeError", () => {
  for (
    const hex of [
      "",
      "c0",
      "91", // a value is missing
      "90c0", // bytes follow
      "9190", // a nested value
      "81a161", // a value is missing
      "82a16101a16102", // a name twice
      "81a001", // an empty name
      "810101", // a name that is no text
      "81d981" + "61".repeat(129) + "01",
      "ddffffffff",
      "dfffffffff",
    ]
  ) assertThrows(() => decodeParams(fromHex(hex)), DecodeError, undefined, hex);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        decodeParams(bytes);
      } catch (error) {
        assertInstanceOf(error, DecodeError);
      }
    }),
    { ...SEEDED, numRuns: 10_000 },
  );
});
