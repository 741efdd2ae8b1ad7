/** Three-way comparison of a record two people changed: what each did, and where they disagree. */

/** Fields of `mine` that differ from `base`: the merge patch (RFC 7396) that carries this edit and nothing else. */
export function changes<T extends object>(base: T, mine: T): Partial<T> {
  const patch: Partial<T> = {};
  for (const key of Object.keys(mine) as (keyof T)[]) {
    if (mine[key] !== base[key]) patch[key] = mine[key];
  }
  return patch;
}

export interface Conflict<T> {
  /** Both changed it, to different values: a person must choose. */
  disputed: (keyof T)[];
  /** Only the other person changed it: their value stays. */
  theirs: (keyof T)[];
  /** Only this person changed it: it is carried over. */
  mine: (keyof T)[];
}

export function compare<T extends object>(base: T, mine: T, theirs: T): Conflict<T> {
  const result: Conflict<T> = { disputed: [], theirs: [], mine: [] };
  for (const key of Object.keys(base) as (keyof T)[]) {
    const changedHere = mine[key] !== base[key];
    const changedThere = theirs[key] !== base[key];
    if (mine[key] === theirs[key]) continue;
    if (changedHere && changedThere) result.disputed.push(key);
    else if (changedHere) result.mine.push(key);
    else if (changedThere) result.theirs.push(key);
  }
  return result;
}
