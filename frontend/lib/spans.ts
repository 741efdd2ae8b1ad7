/**
 * Marks findings in a text. The engine counts Unicode code points; JavaScript strings count UTF-16 units, so an emoji
 * before a finding would shift every mark if they were mixed up.
 */

import type { Finding } from './api/types';

/** A piece of the text and the indexes of the findings that cover it (none: plain text). */
export interface Segment {
  text: string;
  findings: number[];
}

type Span = Pick<Finding, 'start' | 'end'>;

/** The text cut where findings begin and end, in order and complete. Spans outside the text are clipped. */
export function segments(text: string, spans: readonly Span[]): Segment[] {
  const points = Array.from(text);
  const clipped = spans.map(({ start, end }) => ({
    start: Math.min(Math.max(start, 0), points.length),
    end: Math.min(Math.max(end, 0), points.length),
  }));
  const cuts = new Set([0, points.length]);
  for (const { start, end } of clipped) {
    if (start < end) cuts.add(start).add(end);
  }
  const sorted = [...cuts].sort((a, b) => a - b);
  const result: Segment[] = [];
  for (let i = 1; i < sorted.length; i += 1) {
    const [from, to] = [sorted[i - 1] ?? 0, sorted[i] ?? 0];
    result.push({
      text: points.slice(from, to).join(''),
      findings: clipped.flatMap((span, index) => (span.start <= from && to <= span.end ? [index] : [])),
    });
  }
  return result;
}

/** The text with unpaired surrogates replaced: they are not characters, and no JSON reader of the API takes them. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\u{FFFD}');
}
