import { describe, expect, it } from 'vitest';
import { segments, wellFormed } from './spans';

const marked = (text: string, spans: { start: number; end: number }[]) =>
  segments(text, spans).map(({ text: piece, findings }) => [piece, findings]);

describe('segments', () => {
  it('gives a text without findings back in one piece', () => {
    expect(marked('bonjour', [])).toEqual([['bonjour', []]]);
    expect(marked('', [])).toEqual([]);
  });

  it('cuts at code points, so astral characters before a finding do not shift it', () => {
    // Each emoji is one code point but two UTF-16 units; the family is five code points.
    expect(marked('👋🏽 id 12', [{ start: 6, end: 8 }])).toEqual([
      ['👋🏽 id ', []],
      ['12', [0]],
    ]);
    expect(marked('👨‍👩‍👧42𝒳', [{ start: 5, end: 7 }])).toEqual([
      ['👨‍👩‍👧', []],
      ['42', [0]],
      ['𝒳', []],
    ]);
  });

  it('marks a finding that is an astral character itself', () => {
    expect(marked('a𝒳b', [{ start: 1, end: 2 }])).toEqual([
      ['a', []],
      ['𝒳', [0]],
      ['b', []],
    ]);
  });

  it('keeps combining marks and line ends where they are', () => {
    expect(marked('e\u0301\nx', [{ start: 2, end: 3 }])).toEqual([
      ['e\u0301', []],
      ['\n', [0]],
      ['x', []],
    ]);
  });

  it('cuts overlapping and nested findings into pieces that name all who cover them', () => {
    expect(
      marked('abcdef', [
        { start: 0, end: 4 },
        { start: 2, end: 6 },
        { start: 3, end: 4 },
      ]),
    ).toEqual([
      ['ab', [0]],
      ['c', [0, 1]],
      ['d', [0, 1, 2]],
      ['ef', [1]],
    ]);
  });

  it('clips spans outside the text and ignores empty or reversed ones', () => {
    expect(
      marked('abc', [
        { start: -2, end: 1 },
        { start: 2, end: 99 },
        { start: 1, end: 1 },
        { start: 3, end: 2 },
      ]),
    ).toEqual([
      ['a', [0]],
      ['b', []],
      ['c', [1]],
    ]);
  });

  it('never loses or repeats a character', () => {
    const text = '𝒜é👍🏿\u200b\u0000z\r\n';
    const length = Array.from(text).length;
    for (let start = 0; start <= length; start += 1) {
      for (let end = start; end <= length; end += 1) {
        const pieces = segments(text, [{ start, end }]);
        expect(pieces.map((piece) => piece.text).join('')).toBe(text);
        const covered = pieces.filter((piece) => piece.findings.length > 0).map((piece) => piece.text).join('');
        expect(covered).toBe(Array.from(text).slice(start, end).join(''));
      }
    }
  });
});

describe('wellFormed', () => {
  it('replaces unpaired surrogates and leaves pairs alone', () => {
    expect(wellFormed('a\ud83db👋\udc4b')).toBe('a\ufffdb👋\ufffd');
  });
});
