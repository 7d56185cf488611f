// How the texts of whole rows are read, by the shape of their table as the log of changes has it.

import type { Column } from "../../wire/response_payload.ts";
import type { SqlValue } from "../../wire/value.ts";
import type { NumberKind } from "../../wire/value_writer.ts";
import { parseRowText } from "./row_text.ts";
import { valueFormat, type ValueParser } from "./values.ts";

/** How the rows of a table are read. */
export interface RowShape {
  readonly columns: readonly Column[];
  /** The places of the primary key's columns, in its order. */
  readonly keys: readonly number[];
  readonly parsers: readonly ValueParser[];
  readonly kinds: readonly NumberKind[];
}

/** Shapes that are remembered; beyond, all are forgotten. */
const SHAPES_MAX = 1_000;

const utf8 = new TextEncoder();

/** Shapes by their texts. */
export class RowShapes {
  readonly #shapes = new Map<string, RowShape>();

  /** The shape of a text that `sqp_feeds.shape` gave. */
  of(text: string): RowShape {
    let shape = this.#shapes.get(text);
    if (shape === undefined) {
      if (this.#shapes.size >= SHAPES_MAX) this.#shapes.clear();
      shape = parseShape(text);
      this.#shapes.set(text, shape);
    }
    return shape;
  }
}

function parseShape(text: string): RowShape {
  const [columns, keys]: [[string, string, number][] | null, string[] | null] = JSON.parse(text);
  const listed = columns ?? [];
  const formats = listed.map(([, , oid]) => valueFormat(oid));
  return {
    columns: listed.map(([name, declaredType]) => ({ name, declaredType })),
    keys: (keys ?? []).map((key) => listed.findIndex(([name]) => name === key)),
    parsers: formats.map(({ parse }) => parse),
    kinds: formats.map(({ numbers }) => numbers),
  };
}

/** The values of the text of a row; `undefined` where it is of another shape. */
export function readRow(text: string, { parsers }: RowShape): SqlValue[] | undefined {
  const texts = parseRowText(text);
  if (texts.length !== parsers.length) return undefined;
  return texts.map((value, i) => value === null ? null : parsers[i]!(utf8.encode(value)));
}
