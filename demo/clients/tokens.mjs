// SPDX-License-Identifier: MIT
// What a client can tell from a token it holds, without knowing any key.

/** Claims of a JWT, unverified. */
export const claims = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));

/** The session id in 's:SID.SIGNATURE', percent-encoded or not. */
export const sessionId = (credential) => decodeURIComponent(credential).slice(2).split('.')[0];

/** The parts of a credential that must never be seen in clear, whichever way it is written down. */
export function secretParts(credential) {
  if (credential.startsWith('eyJ')) return [credential.split('.')[2]];
  if (credential.startsWith('sgr_')) return [credential.slice(8)];
  return decodeURIComponent(credential).replace(/^s:/, '').split('.');
}
