// SPDX-License-Identifier: MIT
// A person with the role admin, who changes other people's roles in the app.
import { Browser } from './browser.mjs';

const SETS = [['reader'], ['reader', 'editor'], ['reader', 'auditor'], ['editor']];

export class Admin extends Browser {
  constructor(world, account, others) {
    super(world, account);
    this.others = others;
  }

  async useIt() {
    const { subject } = this.others[Math.floor(Math.random() * this.others.length)];
    const now = this.world.roles.get(subject);
    if (Date.now() < now.since + 2000) return; // the last change has not settled yet
    const choices = SETS.filter((set) => String(set) !== String(now.roles));
    const roles = choices[Math.floor(Math.random() * choices.length)];
    this.world.rolesChange(subject, roles, Infinity);
    const answer = await this.request('POST', '/admin/role', 'fetch', { id: subject, roles });
    if (answer.status !== 204) {
      this.world.rolesChange(subject, now.roles, Date.now());
      return this.lost(`/admin/role answered ${answer.status}`);
    }
    this.world.rolesChange(subject, roles, Date.now());
    this.world.counts.roleChanges++;
  }
}
