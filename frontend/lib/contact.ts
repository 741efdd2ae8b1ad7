/** The part of a contact that people write, as a form holds it. */

import type { Contact, ContactFields } from './api/types';

export const CONTACT_FIELDS = [
  'first_name',
  'last_name',
  'job_title',
  'organisation_id',
  'email',
  'phone',
  'locale',
  'do_not_contact',
] as const satisfies readonly (keyof ContactFields)[];

export const EMPTY_CONTACT: ContactFields = {
  first_name: '',
  last_name: '',
  email: null,
  phone: null,
  job_title: null,
  locale: 'fr',
  organisation_id: null,
  do_not_contact: false,
};

export function fieldsOf(contact: Contact): ContactFields {
  const { first_name, last_name, email, phone, job_title, locale, organisation_id, do_not_contact } = contact;
  return { first_name, last_name, email, phone, job_title, locale, organisation_id, do_not_contact };
}

/** As it is sent: no blanks around a text, and null for an optional text that is empty. */
export function tidy(fields: ContactFields): ContactFields {
  const optional = (text: string | null) => text?.trim() || null;
  return {
    ...fields,
    first_name: fields.first_name.trim(),
    last_name: fields.last_name.trim(),
    email: optional(fields.email),
    phone: optional(fields.phone),
    job_title: optional(fields.job_title),
  };
}
