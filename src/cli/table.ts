// Plain tables for people.

/** Rows below a head, in columns; control characters are shown as `?`, so that no content draws on the terminal. */
export function tableText(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].map((row) =>
    row.map((cell) => cell.replace(/[\p{Cc}\p{Cf}]/gu, "?"))
  );
  const widths = head.map((_, column) =>
    Math.max(...cells.map((row) => [...row[column] ?? ""].length))
  );
  return cells.map((row) =>
    row.map((cell, column) => cell + " ".repeat(widths[column]! - [...cell].length)).join("  ")
      .trimEnd() + "\n"
  ).join("");
}
