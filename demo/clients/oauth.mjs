// SPDX-License-Identifier: MIT
// The token endpoint as a client sees it.

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const LEGACY = 'urn:segue:params:oauth:token-type:legacy-session';

export const exchange = (http, token) =>
  http.send('POST', '/oauth2/token', {
    form: { grant_type: EXCHANGE, subject_token: token, subject_token_type: LEGACY, client_id: 'api' },
  });

export const refresh = (http, token) =>
  http.send('POST', '/oauth2/token', { form: { grant_type: 'refresh_token', refresh_token: token, client_id: 'api' } });

export const revoke = (http, token) => http.send('POST', '/oauth2/revoke', { form: { token, client_id: 'api' } });
