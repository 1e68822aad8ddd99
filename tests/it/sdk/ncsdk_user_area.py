"""Every user-area method of PyPI ncsdk 0.1.2, unmodified, against the service named in RC_API."""
import os
import sys
import time
import unittest

import ncsdk
from ncsdk import ApiClient, Configuration
from ncsdk.exceptions import ApiException

CONFIGURATION = Configuration()
CONFIGURATION.set_nexconn_credentials(os.environ['APP_KEY'], os.environ['APP_SECRET'])
# Behind a slash: what is asked for begins with two.
CONFIGURATION.set_primary_backup_domains(os.environ['RC_API'] + '/', os.environ['RC_API'])
CLIENT = ApiClient(CONFIGURATION)
USERS = ncsdk.UserManagementApi(CLIENT)
LISTS = ncsdk.UserBlocklistApi(CLIENT)
PROFILES = ncsdk.UserProfileHostingApi(CLIENT)
FRIENDS = ncsdk.FriendshipApi(CLIENT)
CALLED = set()


def call(api, method, **members):
    """Calls a method with the request that it declares."""
    CALLED.add(method)
    function = getattr(api, method)
    annotations = getattr(function, '__wrapped__', function).__annotations__
    of_request = next(value for name, value in annotations.items() if name.endswith('request'))
    if not isinstance(of_request, type):
        of_request = next(kind for kind in of_request.__args__ if isinstance(kind, type) and kind is not type(None))
    return function(of_request(**members))


class UserArea(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for user in ['nc1', 'nc2', 'nc3']:
            issue(user)

    def done(self, answer):
        self.assertEqual(answer.code, 0)

    def refused(self, status, code, api, method, **members):
        with self.assertRaises(ApiException) as raised:
            call(api, method, **members)
        self.assertEqual((raised.exception.status, raised.exception.error_code), (status, code))
        self.assertTrue(raised.exception.error_message)

    def test_tokens(self):
        issued = call(USERS, 'issue_access_token', user_id='nc9', name='\u94c1 \u4eba', avatar_url='https://e.com/a')
        self.assertEqual((issued.code, issued.result.user_id), (0, 'nc9'))
        self.assertTrue(issued.result.access_token)
        self.done(call(USERS, 'expire_access_token', user_ids=['nc9'], expires_at=int(time.time() * 1000)))
        self.refused(400, 1002, USERS, 'issue_access_token', user_id='nc9', name='')

    def test_users(self):
        self.done(call(USERS, 'update_user', user_id='nc1', name='Nexa', avatar_url='https://e.com/1'))
        user = call(USERS, 'get_user', user_id='nc1').result
        self.assertEqual((user.name, user.avatar_url, len(user.created_at)), ('Nexa', 'https://e.com/1', 19))
        self.refused(400, 400, USERS, 'get_user', user_id='nobody')
        self.assertEqual(call(USERS, 'get_user_connection_status', user_id='nc1').result.status, '0')

    def test_bans(self):
        self.done(call(USERS, 'ban_users', user_ids=['nc2', 'nc3'], duration_minutes=10))
        banned = {user.user_id: user for user in call(USERS, 'list_banned_users').result.banned_users}
        self.assertEqual(set(banned), {'nc2', 'nc3'})
        self.assertEqual(len(banned['nc2'].ban_expires_at), 19)
        self.done(call(USERS, 'unban_users', user_ids=['nc2', 'nc3']))
        self.assertEqual(call(USERS, 'list_banned_users', page=1, page_size=10).result.banned_users, [])
        self.refused(400, 1003, USERS, 'ban_users', user_ids=['nc2'], duration_minutes=0)

    def test_soft_deletion(self):
        issue('nc8')
        self.assertTrue(call(USERS, 'soft_delete_users', user_ids=['nc8']).result.operation_id)
        self.assertEqual(call(USERS, 'list_soft_deleted_users').result.user_ids, ['nc8'])
        self.refused(403, 1000, USERS, 'restore_users', user_ids=['nc8'])
        self.assertTrue(call(USERS, 'restore_users', user_ids=['nc1']).result.operation_id)

    def test_mutes(self):
        self.done(call(USERS, 'set_channel_type_mute', user_ids=['nc1'], mute_state=1, channel_types=['PERSON']))
        muted = call(USERS, 'list_channel_type_mute', channel_type='PERSON').result
        self.assertEqual((muted.total_count, muted.muted_user_ids), (1, ['nc1']))
        self.done(call(USERS, 'set_channel_type_mute', user_ids=['nc1'], mute_state=0, channel_types=['PERSON']))
        self.refused(400, 1002, USERS, 'set_channel_type_mute', user_ids=['nc1'], mute_state=1, channel_types=['GROUP'])

    def test_tags(self):
        self.done(call(USERS, 'batch_set_user_tags', user_ids=['nc1', 'nc2'], tags=['red', '\u7537']))
        users = call(USERS, 'batch_get_user_tags', user_ids=['nc2', 'nc3']).result.users
        self.assertEqual([(user.user_id, user.tags) for user in users], [('nc2', ['red', '\u7537']), ('nc3', [])])

    def test_blocklists(self):
        self.done(call(LISTS, 'add_user_blocklist', user_id='nc1', target_user_ids=['nc2', 'nc3']))
        first = call(LISTS, 'get_user_blocklist', user_id='nc1', page_size=1).result
        self.assertEqual(first.blocked_user_ids, ['nc3'])
        rest = call(LISTS, 'get_user_blocklist', user_id='nc1', page_token=first.page_token).result
        self.assertEqual((rest.blocked_user_ids, rest.page_token), (['nc2'], None))
        self.done(call(LISTS, 'remove_user_blocklist', user_id='nc1', blocked_user_ids=['nc2', 'nc3']))
        self.assertEqual(call(LISTS, 'get_user_blocklist', user_id='nc1').result.blocked_user_ids, [])

    def test_profiles(self):
        self.done(call(PROFILES, 'set_user_profile', user_id='nc1', user_profile={'name': 'N', 'level': 3}))
        profile = call(PROFILES, 'batch_get_user_profiles', user_ids=['nc1', 'nc2']).result.users
        self.assertEqual([(of.user_id, of.user_profile) for of in profile], [('nc1', {'name': 'N', 'level': 3})])
        self.assertEqual([of.user_id for of in call(PROFILES, 'list_user_profiles').result.users], ['nc1'])
        self.refused(400, 1002, PROFILES, 'set_user_profile', user_id='nc1', user_profile={'unknown': 'x'})
        self.done(call(PROFILES, 'delete_user_profiles', user_ids=['nc1']))
        self.assertEqual(call(PROFILES, 'list_user_profiles').result.users, [])

    def test_friends(self):
        self.done(call(FRIENDS, 'set_friend_permission', user_ids=['nc3'], permission_type=1))
        permissions = call(FRIENDS, 'get_friend_permission', user_ids=['nc2', 'nc3']).result.permissions
        self.assertEqual([(of.user_id, of.permission_type) for of in permissions], [('nc2', 2), ('nc3', 1)])
        self.done(call(FRIENDS, 'add_friend', user_id='nc1', target_id='nc3', extra='Hello'))
        self.done(call(FRIENDS, 'add_friend', user_id='nc1', target_id='nc2', action=2))
        self.refused(400, 25460, FRIENDS, 'add_friend', user_id='nc1', target_id='nc2', action=2)
        self.done(call(FRIENDS, 'set_friend_profile', user_id='nc1', target_id='nc2', alias='Two'))
        friends = call(FRIENDS, 'list_friends', user_id='nc1', page_size=10).result
        self.assertEqual(friends.total_count, 2)
        self.assertEqual([(of.user_id, of.alias) for of in friends.friends], [('nc3', ''), ('nc2', 'Two')])
        self.assertEqual((friends.friends[1].friend_ext_profile, friends.friends[1].added_at > 1_600_000_000_000), ({}, True))
        found = call(FRIENDS, 'get_friend_relationships', user_id='nc1', target_ids=['nc2', 'nc9']).result.friendships
        self.assertEqual([(of.user_id, of.result) for of in found], [('nc2', 4), ('nc9', 1)])
        self.done(call(FRIENDS, 'remove_friends', user_id='nc1', target_ids=['nc2']))
        self.done(call(FRIENDS, 'remove_all_friends', user_id='nc1'))
        self.assertEqual(call(FRIENDS, 'list_friends', user_id='nc1').result.friends, [])

    @classmethod
    def tearDownClass(cls):
        assert len(CALLED) == 30, sorted(CALLED)


def issue(user):
    call(USERS, 'issue_access_token', user_id=user, name='Name of ' + user)


if __name__ == '__main__':
    suite = unittest.TestSuite([unittest.defaultTestLoader.loadTestsFromTestCase(UserArea)])
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
