import { describe, expect, it } from 'vitest';
import { changes, compare } from './merge';

const base = { name: 'Zoé', phone: '1', email: null as string | null };

describe('changes', () => {
  it('holds only what differs', () => {
    expect(changes(base, { ...base, phone: '2' })).toEqual({ phone: '2' });
    expect(changes(base, { ...base })).toEqual({});
  });

  it('keeps a null, which removes a value', () => {
    expect(changes({ ...base, email: 'zoe@example.fr' }, base)).toEqual({ email: null });
  });
});

describe('compare', () => {
  it('tells apart what one, the other, or both changed', () => {
    const mine = { name: 'Zoë', phone: '2', email: null };
    const theirs = { name: 'Zoe', phone: '1', email: 'zoe@example.fr' };
    expect(compare(base, mine, theirs)).toEqual({ disputed: ['name'], mine: ['phone'], theirs: ['email'] });
  });

  it('sees no dispute when both made the same change', () => {
    const same = { ...base, name: 'Zoë' };
    expect(compare(base, same, same)).toEqual({ disputed: [], mine: [], theirs: [] });
  });
});
