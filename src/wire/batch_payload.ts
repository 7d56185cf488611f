// The steps of a batch and what becomes of them (PROTOCOL.md, "batch").

import { DecodeError } from "../base/byte_reader.ts";
import { type ControlMap, decodeControl, encodeControl } from "./control.ts";
import type { Fields, List } from "./control_fields.ts";
import { errorFields, readError } from "./error_payload.ts";
import { type ErrorPayload, SqpError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { pageFields, type PageResult, readPage } from "./response_payload.ts";
import { encodeSource, readSource, type StatementSource } from "./statement_source.ts";

/** What can be asked of an earlier step. All but `skipped` and `failed` include that it ran and did not fail. */
export type StepTest = "ok" | "failed" | "skipped" | "changed" | "unchanged" | "rows" | "no_rows";

/** The tests, to find one by its name. */
export const STEP_TESTS: readonly StepTest[] = [
  "ok",
  "failed",
  "skipped",
  "changed",
  "unchanged",
  "rows",
  "no_rows",
];

/** A condition of a step. */
export interface StepCondition {
  /** An earlier step, counted from 0. */
  readonly step: number;
  /** What must be so of it. */
  readonly is: StepTest;
}

/** One statement of a batch. */
export interface BatchStep extends StatementSource {
  /** It runs if all of these hold, and is skipped otherwise; none: it always runs. */
  readonly conditions: readonly StepCondition[];
  /** Its error is undone and told, and the batch goes on; the error of another step ends the batch. */
  readonly mayFail: boolean;
}

/** What became of a step: its result, its error where it may fail, or `null` where it was skipped. */
export type StepResult =
  | { readonly kind: "page" } & PageResult
  | { readonly kind: "error"; readonly error: ErrorPayload }
  | null;

/** Whether a condition holds, by the results of the steps before. */
export function isMet({ step, is }: StepCondition, results: readonly StepResult[]): boolean {
  const result = results[step] ?? null;
  if (result === null) return is === "skipped";
  if (result.kind === "error") return is === "failed";
  switch (is) {
    case "ok":
      return true;
    case "changed":
    case "unchanged":
      return (result.changes > 0) === (is === "changed");
    case "rows":
    case "no_rows":
      // The head of an empty array.
      return (result.page[0] !== 0x90) === (is === "rows");
    default:
      return false;
  }
}

/** The list of steps of a Query. Throws {@linkcode SqpError} `bad_request` for one that no server takes. */
export function encodeSteps(steps: readonly BatchStep[]): ControlMap[] {
  const isPossible = steps.length >= 1 && steps.length <= LIMITS.batchStepsMax &&
    steps.every(({ conditions }, at) =>
      conditions.length <= LIMITS.stepConditionsMax &&
      conditions.every(({ step }) => Number.isInteger(step) && step >= 0 && step < at)
    );
  if (!isPossible) {
    const message =
      "A batch has no or too many steps, or a step depends on one that is not before it.";
    throw new SqpError("bad_request", { message });
  }
  return steps.map((step) => ({
    ...encodeSource(step),
    if: step.conditions.length === 0
      ? undefined
      : step.conditions.map((condition) => [condition.step, condition.is]),
    may_fail: step.mayFail ? true : undefined,
  }));
}

/** Reads the list of steps of a Query. Throws {@linkcode DecodeError}. */
export function readSteps(list: List): BatchStep[] {
  if (list.length === 0) throw new DecodeError("a batch has no steps");
  return list.maps().map((fields, at) => ({
    ...readSource(fields),
    conditions: readConditions(fields.optionalList("if", LIMITS.stepConditionsMax), at),
    mayFail: fields.optionalBool("may_fail") ?? false,
  }));
}

function readConditions(list: List | undefined, at: number): StepCondition[] {
  return (list?.lists(2) ?? []).map((condition) => {
    const name = condition.textAt(1);
    const is = STEP_TESTS.find((test) => test === name);
    if (is === undefined) throw new DecodeError("a condition of a step is not known");
    return { step: condition.intAt(0, 0, at - 1), is };
  });
}

/** Encodes the Response to a batch. Lone surrogates in the names of columns become U+FFFD. */
export function encodeBatchResponse(results: readonly StepResult[]): Uint8Array {
  return encodeControl({
    results: results.map((result) => {
      if (result === null) return null;
      return result.kind === "error" ? { error: errorFields(result.error) } : pageFields(result);
    }),
  });
}

/** Decodes the Response to a batch, its pages excepted. Throws {@linkcode DecodeError}. */
export function decodeBatchResponse(payload: Uint8Array): StepResult[] {
  const results = decodeControl(payload).list("results", LIMITS.batchStepsMax);
  return results.optionalMaps().map((fields) => fields === null ? null : readResult(fields));
}

function readResult(fields: Fields): StepResult {
  const error = fields.optionalMap("error");
  if (error !== undefined) return { kind: "error", error: readError(error) };
  return { kind: "page", ...readPage(fields) };
}
