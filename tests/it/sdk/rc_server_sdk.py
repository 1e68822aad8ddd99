"""Every user method of PyPI rc-server-sdk against the service named in RC_API."""
import os
import unittest

from rongcloud.rongcloud import RongCloud

USER = RongCloud(os.environ['APP_KEY'], os.environ['APP_SECRET'], os.environ['RC_API']).get_user()


class UserArea(unittest.TestCase):
    def ok(self, answer):
        # An error comes back as bytes: indexing it by name fails, and that is a failure of the test.
        self.assertEqual(answer['code'], 200, answer)
        return answer

    def test_register_query_update(self):
        answer = self.ok(USER.register('rc1', '\u94c1 \u4eba', 'http://example.com/p.jpg?a=1'))
        self.assertEqual(answer['userId'], 'rc1')
        self.assertTrue(0 < len(answer['token']) <= 256)
        answer = self.ok(USER.query('rc1'))
        self.assertEqual(answer['userName'], '\u94c1 \u4eba')
        self.assertEqual(answer['userPortrait'], 'http://example.com/p.jpg?a=1')
        self.assertRegex(answer['createTime'], r'^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$')
        self.ok(USER.update('rc1', 'Other', 'http://example.com/q.jpg'))
        self.assertEqual(self.ok(USER.query('rc1'))['userName'], 'Other')

    def test_a_second_token_differs_from_the_first(self):
        first, second = (self.ok(USER.register('rc2', 'Two', 'http://example.com/2')) for _ in range(2))
        self.assertNotEqual(first['token'], second['token'])

    def test_online_status(self):
        self.assertEqual(self.ok(USER.check_online('rc1'))['status'], '0')

    def test_block(self):
        self.ok(USER.get_block().add(['rc3', 'rc4'], 10))
        banned = {user['userId'] for user in self.ok(USER.get_block().query())['users']}
        self.assertTrue({'rc3', 'rc4'} <= banned)
        self.ok(USER.get_block().remove(['rc3', 'rc4']))
        banned = {user['userId'] for user in self.ok(USER.get_block().query())['users']}
        self.assertFalse({'rc3', 'rc4'} & banned)

    def test_blacklist(self):
        self.ok(USER.get_blacklist().add('rc5', ['rc6', 'never-registered']))
        self.assertEqual(set(self.ok(USER.get_blacklist().query('rc5'))['users']), {'rc6', 'never-registered'})
        self.ok(USER.get_blacklist().remove('rc5', ['rc6']))
        self.assertEqual(self.ok(USER.get_blacklist().query('rc5'))['users'], ['never-registered'])

    def test_whitelist(self):
        self.ok(USER.get_whitelist().add('rc5', ['rc6']))
        self.assertEqual(self.ok(USER.get_whitelist().query('rc5'))['users'], ['rc6'])
        self.ok(USER.get_whitelist().remove('rc5', ['rc6']))
        self.assertEqual(self.ok(USER.get_whitelist().query('rc5'))['users'], [])

    def test_tags(self):
        self.ok(USER.get_tag().set('rc7', ['\u7537', 'b']))
        self.ok(USER.get_tag().set(['rc8', 'rc9'], ['c']))
        result = self.ok(USER.get_tag().get(['rc7', 'rc8', 'none']))['result']
        self.assertEqual(result, {'rc7': ['\u7537', 'b'], 'rc8': ['c'], 'none': []})


if __name__ == '__main__':
    unittest.main()
