/** Values that look real and belong to nobody, made anew for each run with the checksums their kinds have. */

import { crc32 } from 'node:zlib';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

function digits(count: number): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(count)), (byte) => String(byte % 10)).join('');
}

/** A French social security number: the key is 97 less the number modulo 97. */
export function nir(): string {
  const number = `2${digits(1)}${digits(1)}0775${digits(6)}`;
  return number + String(97n - (BigInt(number) % 97n)).padStart(2, '0');
}

/** A French IBAN (ISO 13616): the check digits make the rearranged number 1 modulo 97. */
export function iban(): string {
  // Bank, branch and account are digits; the national key follows from them.
  const account = digits(21);
  const [bank, branch, number] = [account.slice(0, 5), account.slice(5, 10), account.slice(10)];
  const key = 97n - ((89n * BigInt(bank) + 15n * BigInt(branch) + 3n * BigInt(number)) % 97n);
  const bban = account + String(key).padStart(2, '0');
  // F is 15, R is 27.
  const check = 98n - (BigInt(`${bban}152700`) % 97n);
  return `FR${String(check).padStart(2, '0')}${bban}`;
}

/** A token in the form GitHub documents: a prefix, 30 random characters and their CRC-32 in base 62. */
export function githubToken(): string {
  const random = Array.from(crypto.getRandomValues(new Uint8Array(30)), (byte) => BASE62[byte % 62]).join('');
  let rest = crc32(random);
  let checksum = '';
  for (let place = 0; place < 6; place += 1) {
    checksum = (BASE62[rest % 62] ?? '0') + checksum;
    rest = Math.floor(rest / 62);
  }
  return ['ghp', `${random}${checksum}`].join('_');
}
