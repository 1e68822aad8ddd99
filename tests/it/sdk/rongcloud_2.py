"""The user methods of PyPI rongcloud 2.0.1, and its own user tests, against the service named in RC_API."""
import os
import sys
import unittest

from rongcloud import RongCloud
from rongcloud.base import RongCloudBase
from rongcloud.test import Example

RongCloudBase.api_host = os.environ['RC_API']
USER = RongCloud(os.environ['APP_KEY'], os.environ['APP_SECRET']).User

# Its test of a user's refresh is hidden by one of the same name for groups, and its tag test reads a file that the
# package does not ship.
SHIPPED = ['getToken', 'checkOnline', 'block', 'unBlock', 'queryBlock', 'addBlacklist', 'queryBlacklist',
           'removeBlacklist']


class UserArea(unittest.TestCase):
    def ok(self, answer):
        self.assertTrue(answer.ok, answer.result)
        self.assertEqual(answer.result['code'], 200, answer.result)
        return answer.result

    def test_register_and_refresh(self):
        result = self.ok(USER.getToken(userId='py1', name='\u94c1 \u4eba+&=', portraitUri='http://example.com/p q'))
        self.assertEqual(result['userId'], 'py1')
        self.assertTrue(result['token'])
        self.ok(USER.refresh(userId='py1', name='Other', portraitUri='http://example.com/2'))

    def test_a_name_is_required(self):
        answer = USER.getToken(userId='py2', name='', portraitUri='')
        self.assertFalse(answer.ok)
        self.assertEqual(answer.result['code'], 1002)

    def test_online_status(self):
        self.assertEqual(self.ok(USER.checkOnline(userId='py1'))['status'], '0')

    def test_block(self):
        self.ok(USER.block(userId='py3', minute='10'))
        self.assertIn('py3', [user['userId'] for user in self.ok(USER.queryBlock())['users']])
        self.ok(USER.unBlock(userId='py3'))
        self.assertNotIn('py3', [user['userId'] for user in self.ok(USER.queryBlock())['users']])

    def test_blacklist(self):
        self.ok(USER.addBlacklist(userId='py4', blackUserId=['py5', 'py6']))
        self.assertEqual(set(self.ok(USER.queryBlacklist(userId='py4'))['users']), {'py5', 'py6'})
        self.ok(USER.removeBlacklist(userId='py4', blackUserId='py5'))
        self.assertEqual(self.ok(USER.queryBlacklist(userId='py4'))['users'], ['py6'])


if __name__ == '__main__':
    suite = unittest.TestSuite([Example('test_' + name) for name in SHIPPED])
    suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(UserArea))
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
